/**
 * Makes the globals of a module visible from outside, by exporting them (WebAssembly 3.0, sections 5.5.9 and 5.5.10).
 */
import { joinBytes } from "../base/bytes.ts";
import * as External from "../wasm/external.ts";
import { Reader } from "../wasm/reader.ts";
import * as Section from "../wasm/section.ts";
import { readSections, type SectionRange } from "../wasm/section.ts";
import { Writer } from "../wasm/writer.ts";

/** What the names of the added exports begin with; the index follows. A guest may not export such a name. */
export const GLOBAL_PREFIX = "vak:global:";

const find = (module: Uint8Array, id: number): SectionRange | undefined =>
  readSections(module).find((section) => section.id === id);

/** How many globals a valid module defines. */
export function countGlobals(module: Uint8Array): number {
  const section = find(module, Section.global);
  return section ? new Reader(module, section.start, section.end).u32() : 0;
}

/** Exports the first `count` globals of a valid module that imports none and has exports. */
export function exportGlobals(module: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer> {
  const section = find(module, Section.export);
  if (!section || count === 0) return module;
  const reader = new Reader(module, section.start, section.end);
  const contents = new Writer(section.end - section.start + 32 * count);
  contents.unsigned(reader.u32() + count).copy(module, reader.pos, section.end);
  for (let index = 0; index < count; index++) {
    contents.name(`${GLOBAL_PREFIX}${index}`).byte(External.global).unsigned(index);
  }
  return joinBytes([
    module.subarray(0, section.header),
    new Writer().byte(Section.export).unsigned(contents.length).written(),
    contents.written(),
    module.subarray(section.end),
  ]);
}
