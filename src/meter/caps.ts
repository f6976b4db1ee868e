/** How large the memories and tables that a module defines may grow. */

import { malformed } from "../wasm/malformed.ts";
import type { Module } from "../wasm/module.ts";

const PAGE_BYTES = 65_536;

/** The most pages each defined memory may grow to; undefined for no maximum. */
export function capMemories(module: Module, memoryBytes: number | undefined): (number | undefined)[] {
  const defined = module.memories.slice(module.importedMemories);
  if (memoryBytes === undefined) return defined.map(({ max }) => max);
  refuseImport(module, "memory");
  const cap = Math.floor(memoryBytes / PAGE_BYTES);
  const minima = defined.reduce((sum, { min }) => sum + min, 0);
  if (minima > cap) {
    const pages = `${minima} pages of memory (${minima * PAGE_BYTES} bytes)`;
    malformed(`the module starts with ${pages}; memoryBytes allows ${memoryBytes}`, defined[0]!.start);
  }
  const share = Math.floor((cap - minima) / defined.length);
  return defined.map(({ min, max = Infinity }) => Math.min(max, min + share));
}

/** The most elements each defined table may grow to; undefined for no maximum. */
export function capTables(module: Module, tableElements: number | undefined): (number | undefined)[] {
  const defined = module.tables.slice(module.importedTables);
  if (tableElements === undefined) return defined.map(({ max }) => max);
  refuseImport(module, "table");
  return defined.map(({ min, max = Infinity, start }) => {
    if (min > tableElements)
      malformed(`a table starts with ${min} elements; tableElements allows ${tableElements}`, start);
    return Math.min(max, tableElements);
  });
}

/** A cap works only for what the module itself defines. */
function refuseImport(module: Module, kind: "memory" | "table"): void {
  const found = module.imports.find((entry) => entry.kind === kind);
  if (!found) return;
  const name = `${JSON.stringify(found.module)} ${JSON.stringify(found.name)}`;
  malformed(`imports the ${kind} ${name}: link the program so that it defines its own`, found.at);
}
