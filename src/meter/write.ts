/** Writes the metered module: its own sections and what is added to each, in the order that the format requires. */
import { joinBytes } from "../base/bytes.ts";
import { wrongLength } from "../wasm/malformed.ts";
import { HAS_MAX, type Module, type SizeLimits } from "../wasm/module.ts";
import { PREAMBLE } from "../wasm/preamble.ts";
import { Reader } from "../wasm/reader.ts";
import type { SectionRange } from "../wasm/section.ts";
import * as Section from "../wasm/section.ts";
import { Writer } from "../wasm/writer.ts";
import type { Additions } from "./added.ts";
import { FunctionEmitter, type Plan } from "./emit.ts";
import { FunctionScan } from "./scan.ts";

/** By index among those that the module defines. */
export interface Maxima {
  memories: (number | undefined)[];
  tables: (number | undefined)[];
}

export function writeModule(module: Module, maxima: Maxima, additions: Additions, plan: Plan): Uint8Array<ArrayBuffer> {
  const { bytes } = module;
  // First, because it may add types.
  const code = writeCode(module, additions, plan);

  const own = new Set(module.sections.map(({ id }) => id));
  const parts: Uint8Array[] = [bytes.subarray(0, PREAMBLE.length)];
  const addSection = (id: number, contents: Writer) => {
    parts.push(new Writer(16).byte(id).unsigned(contents.length).written(), contents.written());
  };
  const write = (id: number, section: SectionRange | undefined) => {
    if (id === Section.start) return;
    if (id === Section.code) {
      if (code.hints) addSection(Section.custom, code.hints);
      addSection(id, code.contents);
      return;
    }
    const added = additions.to(id);
    const changed = added.count > 0 || id === Section.memory || id === Section.table;
    if (section && !changed) {
      parts.push(bytes.subarray(section.header, section.end));
      return;
    }
    const contents = new Writer();
    const reader = section ? new Reader(bytes, section.start, section.end) : new Reader(bytes, 0, 0);
    contents.unsigned((section ? reader.u32() : 0) + added.count);
    if (id === Section.memory)
      writeLimits(contents, reader, module.memories.slice(module.importedMemories), maxima.memories);
    if (id === Section.table) writeLimits(contents, reader, module.tables.slice(module.importedTables), maxima.tables);
    contents.copy(bytes, reader.pos, reader.end).copy(added.bytes.bytes, 0, added.bytes.length);
    addSection(id, contents);
  };

  let next = 0;
  const writeAddedUpTo = (rank: number) => {
    for (; next < rank; next++) {
      const id = Section.ORDER[next]!;
      if (!own.has(id) && additions.has(id)) write(id, undefined);
    }
  };
  for (const section of module.sections) {
    if (section.id === Section.custom) {
      if (!pointsIntoCode(section.name!)) parts.push(bytes.subarray(section.header, section.end));
      continue;
    }
    const rank = Section.ORDER.indexOf(section.id);
    writeAddedUpTo(rank);
    write(section.id, section);
    next = rank + 1;
  }
  writeAddedUpTo(Section.ORDER.length);
  return joinBytes(parts);
}

/** Writes `limits` with their new maxima, up to the last one that changes, and moves `reader` there. */
function writeLimits(body: Writer, reader: Reader, limits: SizeLimits[], maxima: (number | undefined)[]): void {
  for (const [index, own] of limits.entries()) {
    const max = maxima[index];
    if (max === own.max) continue; // Copied: numbers above 2^53 are not exact here.
    body.copy(reader.bytes, reader.pos, own.start);
    body.byte(max === undefined ? own.flags : own.flags | HAS_MAX).unsigned(own.min);
    if (max !== undefined) body.unsigned(max);
    reader.pos = own.end;
  }
}

/** The contents of the code section, and of a section of branch hints if there are any. */
function writeCode(module: Module, additions: Additions, plan: Plan): { contents: Writer; hints: Writer | undefined } {
  const { bytes } = module;
  const section = module.sections.find(({ id }) => id === Section.code);
  const defined = module.functions.length - module.importedFunctions;
  const reader = section ? new Reader(bytes, section.start, section.end) : new Reader(bytes, 0, 0);
  const count = section ? reader.count() : 0;
  if (count !== defined) wrongLength(section?.start ?? 0);

  const added = additions.to(Section.code);
  const contents = new Writer((reader.end - reader.pos) * 2).unsigned(count + added.count);
  const scan = new FunctionScan(module, plan.nan, plan.fuel && plan.resumable);
  const emitter = new FunctionEmitter(module, plan, scan);
  const changes = plan.fuel || plan.nan || plan.stackDepth !== undefined;
  const first = reader.pos;
  for (let n = 0; n < count; n++) {
    const size = reader.u32();
    const start = reader.pos;
    reader.skip(size);
    const index = module.importedFunctions + n;
    scan.scan(index, start, reader.pos);
    if (changes) emitter.emit(index, reader.pos, contents);
  }
  if (!reader.done) wrongLength(reader.pos);
  if (!changes) contents.copy(bytes, first, reader.end);
  contents.copy(added.bytes.bytes, 0, added.bytes.length);

  if (emitter.hintedFunctions === 0) return { contents, hints: undefined };
  const hints = new Writer(emitter.hints.length + 64).name("metadata.code.branch_hint");
  hints.unsigned(emitter.hintedFunctions).copy(emitter.hints.bytes, 0, emitter.hints.length);
  return { contents, hints };
}

/** Custom sections that point into the code by offset, and would mislead after rewriting. */
function pointsIntoCode(name: string): boolean {
  return /^(\.debug_|reloc\.|metadata\.code\.|sourceMappingURL$|external_debug_info$|linking$)/.test(name);
}
