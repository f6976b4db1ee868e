import { refuse, Writer } from "./bytes.ts";
import {
  checkHeader,
  type ExternKind,
  type Limits,
  MODULE_LIMITS,
  type Module,
  readModule,
  Section,
  valueTypesAt,
} from "./module.ts";

export type { ExternKind } from "./module.ts";
export { MODULE_LIMITS } from "./module.ts";

const PAGE_BYTES = 65_536;

/** Guests may not export names that begin with this: the meter's own exports do. */
export const RESERVED_PREFIX = "vak:";

export interface MeterOptions {
  /**
   * Bytes of linear memory that all of the module's memories may hold together, rounded down to whole pages. A single
   * memory may use it all; of several, each may use its minimum and an equal share of what the minima leave.
   * Not given: memories keep their own limits, and may be imported.
   */
  memoryBytes?: number;
  /** Elements that each of the module's tables may hold. Not given: tables keep their own limits, and may be imported. */
  tableElements?: number;
  /** Bytes of the module itself; {@link MODULE_LIMITS}`.moduleBytes` unless given. */
  maxModuleBytes?: number;
}

export interface MeteredImport {
  module: string;
  name: string;
  kind: ExternKind;
  /** Of functions and tags: value types as the text format writes them (`i32`, `externref`, `(ref null 3)`). */
  params?: string[];
  results?: string[];
}

export interface Metered {
  /** The rewritten module. */
  bytes: Uint8Array<ArrayBuffer>;
  /** The guest's imports, in order. The meter adds none. */
  imports: MeteredImport[];
  /** The guest's own exports, in order. The meter's are not among them. */
  exports: { name: string; kind: ExternKind }[];
  /** The export that stands for the start section, to be called once after instantiation; absent if there was none. */
  start?: string;
}

/**
 * Makes a module bounded before it is compiled.
 *
 * @throws VakError `invalid-module` naming what is not admitted and at which byte
 */
export function instrument(given: Uint8Array, options: MeterOptions = {}): Metered {
  const bytes = given as Uint8Array<ArrayBuffer>;
  const maxModuleBytes = options.maxModuleBytes ?? MODULE_LIMITS.moduleBytes;
  if (bytes.length > maxModuleBytes) {
    refuse(`the module is too large: ${bytes.length} bytes; the limit is ${maxModuleBytes}`);
  }
  checkHeader(bytes);
  // Before anything is rewritten: a rewritten module may be valid where the original was not.
  const valid = WebAssembly.validate(bytes);
  const module = readModule(bytes);
  if (!valid) refuse(`not a valid WebAssembly module${engineComplaint(bytes)}`);

  for (const { name, at } of module.exports) {
    if (name.startsWith(RESERVED_PREFIX)) refuse(`exports ${JSON.stringify(name)}, a name that vak reserves`, at);
  }
  const memoryCaps = capMemories(module, options.memoryBytes);
  const tableCaps = capTables(module, options.tableElements);

  const out = new Writer(bytes.length + 1024);
  out.raw(bytes.subarray(0, 8));
  const body = new Writer();
  const start = module.start === undefined ? undefined : `${RESERVED_PREFIX}start`;
  let exported = start === undefined;
  const writeSection = (id: number) => {
    out.byte(id).unsigned(body.length).raw(body.written());
    body.length = 0;
  };
  for (const section of module.sections) {
    // The start export goes where the start section was: if there were no exports, that is their place.
    if (section.id === Section.export && !exported) {
      writeExports(body, module, section.end, start!);
      writeSection(section.id);
      exported = true;
    } else if (section.id === Section.start) {
      if (exported) continue;
      body.unsigned(1).name(start!).byte(0).unsigned(module.start!);
      writeSection(Section.export);
      exported = true;
    } else if (section.id === Section.memory) {
      writeWithLimits(
        body,
        bytes,
        section.start,
        section.end,
        module.memories.slice(module.importedMemories),
        memoryCaps,
      );
      writeSection(section.id);
    } else if (section.id === Section.table) {
      writeWithLimits(body, bytes, section.start, section.end, module.tables.slice(module.importedTables), tableCaps);
      writeSection(section.id);
    } else if (!(section.id === Section.custom && holdsCodeOffsets(section.name!))) {
      out.raw(bytes.subarray(section.header, section.end));
    }
  }
  return {
    bytes: out.written().slice(),
    imports: module.imports.map(({ module: from, name, kind, type }) => {
      const signature = type === undefined ? undefined : module.types[type];
      if (!signature) return { module: from, name, kind };
      const params = valueTypesAt(bytes, signature.params);
      return { module: from, name, kind, params, results: valueTypesAt(bytes, signature.results) };
    }),
    exports: module.exports.map(({ name, kind }) => ({ name, kind })),
    ...(start !== undefined && { start }),
  };
}

/** Why the engine refuses a module, in its own words. */
function engineComplaint(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    new WebAssembly.Module(bytes);
    return "";
  } catch (error) {
    return `: ${(error as Error).message.replace(/^WebAssembly\.Module\(\): /, "").replace(/\.$/, "")}`;
  }
}

/** The most pages each defined memory may grow to. */
function capMemories(module: Module, memoryBytes: number | undefined): (number | undefined)[] {
  const defined = module.memories.slice(module.importedMemories);
  if (memoryBytes === undefined) return defined.map(({ max }) => max);
  const cap = Math.floor(memoryBytes / PAGE_BYTES);
  refuseImport(module, "memory");
  const minima = defined.reduce((sum, { min }) => sum + min, 0);
  if (minima > cap) {
    const pages = `${minima} pages of memory (${minima * PAGE_BYTES} bytes)`;
    refuse(`the module starts with ${pages}; memoryBytes allows ${memoryBytes}`, defined[0]!.start);
  }
  const share = Math.floor((cap - minima) / defined.length);
  return defined.map(({ min, max = Infinity }) => Math.min(max, min + share));
}

/** The most elements each defined table may grow to. */
function capTables(module: Module, tableElements: number | undefined): (number | undefined)[] {
  const defined = module.tables.slice(module.importedTables);
  if (tableElements === undefined) return defined.map(({ max }) => max);
  refuseImport(module, "table");
  return defined.map(({ min, max = Infinity, start }) => {
    if (min > tableElements)
      refuse(`a table starts with ${min} elements; tableElements allows ${tableElements}`, start);
    return Math.min(max, tableElements);
  });
}

/** A cap can only hold for what the module defines. */
function refuseImport(module: Module, kind: "memory" | "table"): void {
  const found = module.imports.find((entry) => entry.kind === kind);
  if (!found) return;
  const name = `${JSON.stringify(found.module)} ${JSON.stringify(found.name)}`;
  refuse(`imports the ${kind} ${name}: link the program so that it defines its own`, found.at);
}

/** A section of tables or memories with each one's maximum replaced. */
function writeWithLimits(
  body: Writer,
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: Limits[],
  maxima: (number | undefined)[],
): void {
  let copied = start;
  limits.forEach((own, index) => {
    body.raw(bytes.subarray(copied, own.start));
    const max = maxima[index];
    body.byte(max === undefined ? own.flags : own.flags | 1).unsigned(own.min);
    if (max !== undefined) body.unsigned(max);
    copied = own.end;
  });
  body.raw(bytes.subarray(copied, end));
}

function writeExports(body: Writer, module: Module, end: number, startName: string): void {
  body.unsigned(module.exports.length + 1);
  const first = module.exports[0]?.at ?? end;
  body.raw(module.bytes.subarray(first, end));
  body.name(startName).byte(0).unsigned(module.start!);
}

/** Custom sections that point into the code by offset, and would mislead after rewriting. */
function holdsCodeOffsets(name: string): boolean {
  return /^(\.debug_|reloc\.|metadata\.code\.|sourceMappingURL$|external_debug_info$|linking$)/.test(name);
}
