/** Writes the module anew: its own sections with what is added to each, in the order the format asks for. */
import type { Additions } from "./added.ts";
import { Reader, refuse, Writer } from "./bytes.ts";
import { FunctionEmitter, type Plan } from "./emit.ts";
import { type Limits, type Module, SECTION_ORDER, Section, type SectionRange } from "./module.ts";
import { FunctionScan } from "./scan.ts";

/** By index of the defined ones. */
export interface Maxima {
  memories: (number | undefined)[];
  tables: (number | undefined)[];
}

export function writeModule(module: Module, maxima: Maxima, additions: Additions, plan: Plan): Uint8Array<ArrayBuffer> {
  const { bytes } = module;
  // First, because it may add types.
  const code = writeCode(module, additions, plan);

  const own = new Map(
    module.sections.filter(({ id }) => id !== Section.custom).map((section) => [section.id, section]),
  );
  const out = new Writer(bytes.length + code.contents.length + 4096);
  out.copy(bytes, 0, 8);
  const body = new Writer();
  const finish = (id: number, contents = body) => {
    out.byte(id).unsigned(contents.length).copy(contents.bytes, 0, contents.length);
    body.length = 0;
  };
  const write = (id: number, section: SectionRange | undefined) => {
    if (id === Section.start) return;
    if (id === Section.code) {
      if (code.hints) finish(Section.custom, code.hints);
      finish(id, code.contents);
      return;
    }
    const reader = section ? new Reader(bytes, section.start, section.end) : undefined;
    const added = additions.to(id);
    // All but the data count are vectors.
    if (id !== Section.dataCount) body.unsigned((reader?.u32("a count") ?? 0) + added.count);
    if (reader) {
      if (id === Section.memory)
        writeLimits(body, reader, module.memories.slice(module.importedMemories), maxima.memories);
      if (id === Section.table) writeLimits(body, reader, module.tables.slice(module.importedTables), maxima.tables);
      body.copy(bytes, reader.pos, reader.end);
    }
    body.copy(added.bytes.bytes, 0, added.bytes.length);
    finish(id);
  };

  let next = 0;
  const writeUpTo = (rank: number) => {
    for (; next < rank; next++) {
      const id = SECTION_ORDER[next]!;
      if (!own.has(id) && additions.has(id)) write(id, undefined);
    }
  };
  for (const section of module.sections) {
    if (section.id === Section.custom) {
      if (!pointsIntoCode(section.name!)) out.copy(bytes, section.header, section.end);
      continue;
    }
    const rank = SECTION_ORDER.indexOf(section.id);
    writeUpTo(rank);
    write(section.id, section);
    next = rank + 1;
  }
  writeUpTo(SECTION_ORDER.length);
  return out.written().slice() as Uint8Array<ArrayBuffer>;
}

/** Writes up to the end of the last of `limits`, each with its maximum replaced, and moves `reader` there. */
function writeLimits(body: Writer, reader: Reader, limits: Limits[], maxima: (number | undefined)[]): void {
  for (const [index, own] of limits.entries()) {
    const max = maxima[index];
    body.copy(reader.bytes, reader.pos, own.start);
    body.byte(max === undefined ? own.flags : own.flags | 1).unsigned(own.min);
    if (max !== undefined) body.unsigned(max);
    reader.pos = own.end;
  }
}

/** The code section's contents, and those of a section of branch hints if there are any. */
function writeCode(module: Module, additions: Additions, plan: Plan): { contents: Writer; hints: Writer | undefined } {
  const { bytes } = module;
  const section = module.sections.find(({ id }) => id === Section.code);
  const defined = module.functions.length - module.importedFunctions;
  const reader = section ? new Reader(bytes, section.start, section.end) : new Reader(bytes, 0, 0);
  const count = section ? reader.count("functions") : 0;
  if (count !== defined) refuse(`${defined} functions are declared and ${count} defined`, section?.start);

  const added = additions.to(Section.code);
  const contents = new Writer((reader.end - reader.pos) * 2).unsigned(count + added.count);
  const scan = new FunctionScan(module, plan.nan);
  const emitter = new FunctionEmitter(module, plan, scan);
  const changes = plan.fuel || plan.nan || plan.stackDepth !== undefined;
  const first = reader.pos;
  for (let n = 0; n < count; n++) {
    const size = reader.u32("a function's size");
    const start = reader.pos;
    reader.skip(size, "a function");
    const index = module.importedFunctions + n;
    scan.scan(index, start, reader.pos);
    if (changes) emitter.emit(index, reader.pos, contents);
  }
  if (!reader.done) refuse("bytes are left over in the code section", reader.pos);
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
