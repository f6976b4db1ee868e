/**
 * Reads a module's structure (WebAssembly 3.0, chapter 5) by allow-list: what is not named here is refused.
 * The module has been validated before, so that what this reader checks is what validation does not promise:
 * that each feature is one the meter knows.
 */
import { Reader, refuse, refuseFeature, refuseLength, refuseUnknown } from "./bytes.ts";
import * as Section from "./section.ts";

/** What the meter takes, beyond what the engines' own limits allow. */
export const MODULE_LIMITS = {
  /** Bytes of a module, unless `maxModuleBytes` says otherwise. */
  moduleBytes: 256 * 1024 * 1024,
  /** Functions, imported ones included. */
  functions: 900_000,
  /** Parameters and locals of one function. */
  locals: 49_900,
  /** Blocks within one another in one function. */
  nesting: 60_000,
  /** Tables of one module. */
  tables: 100,
  /** Array elements that the module's constant expressions allocate together. */
  constantElements: 1_000_000,
} as const;

export type ExternKind = "func" | "table" | "memory" | "global" | "tag";
const EXTERN_KINDS: readonly ExternKind[] = ["func", "table", "memory", "global", "tag"];

export interface SectionRange {
  id: number;
  /** The first byte of the contents, and the first after them. */
  start: number;
  end: number;
  /** The section's id byte. */
  header: number;
  /** A custom section's name. */
  name?: string;
}

export interface FuncType {
  /** Where the vectors of parameters and of results begin, and where the second ends. */
  params: number;
  results: number;
  end: number;
  paramCount: number;
  resultCount: number;
  /** Machine words of the parameters: a v128 takes two, anything else one. */
  paramWords: number;
  hasV128: boolean;
}

export interface Limits {
  /** The flags byte. */
  flags: number;
  min: number;
  max: number | undefined;
  /** Addressed by i64 (memory64, table64). */
  is64: boolean;
  /** Where the flags byte is, and the first byte after the limits. */
  start: number;
  end: number;
}

export interface Import {
  module: string;
  name: string;
  kind: ExternKind;
  /** Index of the function's or tag's type. */
  type?: number;
  at: number;
}

export interface Module {
  bytes: Uint8Array;
  sections: SectionRange[];
  /** By type index; undefined where the type is a struct or an array. */
  types: (FuncType | undefined)[];
  /** Fields of the struct types, by type index. */
  structFields: number[];
  imports: Import[];
  /** Types of all functions, the imported ones first. */
  functions: number[];
  importedFunctions: number;
  tables: Limits[];
  importedTables: number;
  memories: Limits[];
  importedMemories: number;
  globalCount: number;
  tags: number[];
  exports: { name: string; kind: ExternKind; at: number }[];
  start: number | undefined;
}

/** @throws VakError `invalid-module` naming what is not admitted and at which byte */
export function readModule(bytes: Uint8Array): Module {
  const module: Module = {
    bytes,
    sections: readSections(bytes),
    types: [],
    structFields: [],
    imports: [],
    functions: [],
    importedFunctions: 0,
    tables: [],
    importedTables: 0,
    memories: [],
    importedMemories: 0,
    globalCount: 0,
    tags: [],
    exports: [],
    start: undefined,
  };
  const allocations: Allocations = { allowed: MODULE_LIMITS.constantElements, hasArrays: false };
  for (const section of module.sections) {
    const reader = new Reader(bytes, section.start, section.end);
    switch (section.id) {
      case Section.type:
        readTypes(reader, module, allocations);
        break;
      case Section.import:
        readImports(reader, module);
        break;
      case Section.function:
        for (let n = reader.count(); n > 0; n--) module.functions.push(reader.u32());
        break;
      case Section.table:
        readTables(reader, module, allocations);
        break;
      case Section.memory:
        for (let n = reader.count(); n > 0; n--) module.memories.push(readMemoryType(reader));
        break;
      case Section.tag:
        for (let n = reader.count(); n > 0; n--) module.tags.push(readTagType(reader));
        break;
      case Section.global:
        readGlobals(reader, module, allocations);
        break;
      case Section.export:
        for (let n = reader.count(); n > 0; n--) {
          const at = reader.pos;
          const name = reader.name();
          module.exports.push({ name, kind: readExternKind(reader), at });
          reader.u32();
        }
        break;
      case Section.start:
        module.start = reader.u32();
        break;
      case Section.element:
        if (allocations.hasArrays) readElements(reader, allocations);
        else reader.pos = reader.end;
        break;
      default:
        // Custom sections and data are copied; the code has a reader of its own.
        reader.pos = reader.end;
    }
    if (!reader.done) refuseLength(reader.pos);
  }
  if (module.functions.length > MODULE_LIMITS.functions) {
    refuse(`${module.functions.length} functions; the limit is ${MODULE_LIMITS.functions}`);
  }
  if (module.tables.length > MODULE_LIMITS.tables) {
    refuse(`${module.tables.length} tables; the limit is ${MODULE_LIMITS.tables}`);
  }
  return module;
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** @throws VakError `invalid-module` when this is not the header of a core module, version 1 */
export function checkHeader(bytes: Uint8Array): void {
  const word = (at: number) => bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  if (bytes.length === 0) refuse("not a WebAssembly module: it is empty");
  if (bytes.length < 4 || word(0) !== 0x6d736100) {
    refuse(`not a WebAssembly module: starts with ${hex(bytes.subarray(0, 4))}`, 0);
  }
  if (bytes.length < 8) refuseLength(bytes.length);
  if (bytes[6] === 1 && bytes[7] === 0) {
    refuse("a WebAssembly component (layer 1), not a core module: give its core module", 4);
  }
  if (word(4) !== 1) refuse(`not a WebAssembly module of version 1: the version is ${hex(bytes.subarray(4, 8))}`, 4);
}

function readSections(bytes: Uint8Array): SectionRange[] {
  const reader = new Reader(bytes, 8, bytes.length);
  const sections: SectionRange[] = [];
  let rank = -1;
  while (!reader.done) {
    const header = reader.pos;
    const id = reader.byte();
    const size = reader.u32();
    const start = reader.pos;
    if (size > reader.end - start) refuseLength(header);
    const section: SectionRange = { id, start, end: start + size, header };
    if (id === Section.custom) {
      section.name = new Reader(bytes, start, section.end).name();
    } else {
      const own = Section.ORDER.indexOf(id);
      if (own < 0) refuseUnknown("section", id, header);
      if (own <= rank) refuse(`the ${Section.NAMES[id]} section is repeated or out of order`, header);
      rank = own;
    }
    sections.push(section);
    reader.pos = section.end;
  }
  return sections;
}

const readExternKind = (reader: Reader): ExternKind => {
  const at = reader.pos;
  const kind = reader.byte();
  return EXTERN_KINDS[kind] ?? refuseUnknown("kind of import or export", kind, at);
};

/** Number types and v128, from 0x7b on. */
const NUMBER_TYPES = "v128 f64 f32 i64 i32".split(" ");
const V128 = 0x7b;

/** Abstract heap types, from 0x69 on: as a value type each stands for its nullable reference. */
const HEAP_TYPES = "exn array struct i31 eq any extern func none noextern nofunc noexn".split(" ");
const EXN = 0x69;

/** @returns the name of an abstract heap type, or a type's index */
export function readHeapType(reader: Reader): string {
  const at = reader.pos;
  const type = reader.signed(33);
  if (type >= 0) return String(type);
  return HEAP_TYPES[type + 0x80 - EXN] ?? refuseUnknown("heap type", type + 0x80, at);
}

/** @returns the type as the text format writes it */
export function readValueType(reader: Reader): string {
  const at = reader.pos;
  const byte = reader.byte();
  if (byte === 0x63) return `(ref null ${readHeapType(reader)})`;
  if (byte === 0x64) return `(ref ${readHeapType(reader)})`;
  const number = NUMBER_TYPES[byte - V128];
  if (number) return number;
  const heap = HEAP_TYPES[byte - EXN] ?? refuseUnknown("value type", byte, at);
  return heap === "func" || heap === "extern" ? `${heap}ref` : `(ref null ${heap})`;
}

/** Moves past a value type. @returns whether it is v128 */
export function skipValueType(reader: Reader): boolean {
  const byte = reader.peek();
  if (byte >= V128 && byte <= 0x7f) {
    reader.pos++;
    return byte === V128;
  }
  readValueType(reader);
  return false;
}

/** The value types of a vector that begins at `at`. */
export function valueTypesAt(bytes: Uint8Array, at: number): string[] {
  const reader = new Reader(bytes, at, bytes.length);
  return Array.from({ length: reader.count() }, () => readValueType(reader));
}

interface Allocations {
  /** Elements that constant expressions may still allocate. */
  allowed: number;
  hasArrays: boolean;
}

function readTypes(reader: Reader, module: Module, allocations: Allocations): void {
  for (let groups = reader.count(); groups > 0; groups--) {
    let members = 1;
    if (reader.peek() === 0x4e) {
      reader.pos++;
      members = reader.count();
    }
    for (; members > 0; members--) readSubType(reader, module, allocations);
  }
}

function readSubType(reader: Reader, module: Module, allocations: Allocations): void {
  if (reader.peek() === 0x50 || reader.peek() === 0x4f) {
    reader.pos++;
    for (let supers = reader.count(); supers > 0; supers--) reader.u32();
  }
  const index = module.types.length;
  const at = reader.pos;
  const form = reader.byte();
  let type: FuncType | undefined;
  if (form === 0x60) type = readFuncType(reader);
  else if (form === 0x5f) {
    const fields = reader.count();
    module.structFields[index] = fields;
    for (let n = fields; n > 0; n--) skipField(reader);
  } else if (form === 0x5e) {
    allocations.hasArrays = true;
    skipField(reader);
  } else if (form === 0x65) refuseFeature("a shared type (threads)", at);
  else refuseUnknown("type form", form, at);
  module.types.push(type);
}

function readFuncType(reader: Reader): FuncType {
  const params = reader.pos;
  const [paramCount, paramVectors] = skipValueTypes(reader);
  const results = reader.pos;
  const [resultCount, resultVectors] = skipValueTypes(reader);
  const paramWords = paramCount + paramVectors;
  const hasV128 = paramVectors + resultVectors > 0;
  return { params, results, end: reader.pos, paramCount, resultCount, paramWords, hasV128 };
}

/** @returns how many there are, and how many of them are v128 */
function skipValueTypes(reader: Reader): [count: number, vectors: number] {
  const count = reader.count();
  let vectors = 0;
  for (let n = count; n > 0; n--) if (skipValueType(reader)) vectors++;
  return [count, vectors];
}

function skipField(reader: Reader): void {
  const byte = reader.peek();
  if (byte === 0x78 || byte === 0x77) reader.pos++;
  else skipValueType(reader);
  reader.byte();
}

function readImports(reader: Reader, module: Module): void {
  for (let n = reader.count(); n > 0; n--) {
    const at = reader.pos;
    const from = reader.name();
    const name = reader.name();
    const kind = readExternKind(reader);
    const entry: Import = { module: from, name, kind, at };
    if (kind === "func") {
      entry.type = reader.u32();
      module.functions.push(entry.type);
      module.importedFunctions++;
    } else if (kind === "table") {
      module.tables.push(readTableType(reader));
      module.importedTables++;
    } else if (kind === "memory") {
      module.memories.push(readMemoryType(reader));
      module.importedMemories++;
    } else if (kind === "global") {
      readValueType(reader);
      readMutability(reader);
      module.globalCount++;
    } else {
      entry.type = readTagType(reader);
      module.tags.push(entry.type);
    }
    module.imports.push(entry);
  }
}

function readTagType(reader: Reader): number {
  const at = reader.pos;
  const kind = reader.byte();
  if (kind !== 0) refuseUnknown("kind of tag", kind, at);
  return reader.u32();
}

function readMutability(reader: Reader): void {
  const at = reader.pos;
  if (reader.byte() > 1) refuseFeature("a shared global (threads)", at);
}

function readMemoryType(reader: Reader): Limits {
  return readLimits(reader, "memory");
}

function readTableType(reader: Reader): Limits {
  readValueType(reader);
  return readLimits(reader, "table");
}

function readLimits(reader: Reader, what: string): Limits {
  const start = reader.pos;
  const flags = reader.byte();
  if (flags & 0x02) refuseFeature(`a shared ${what} (threads)`, start);
  if (flags & 0x08) refuseFeature(`a ${what} with its own page size`, start);
  if (flags > 0x05) refuseUnknown("flags of limits", flags, start);
  const min = reader.u64();
  const max = flags & 0x01 ? reader.u64() : undefined;
  return { flags, min, max, is64: (flags & 0x04) !== 0, start, end: reader.pos };
}

function readTables(reader: Reader, module: Module, allocations: Allocations): void {
  for (let n = reader.count(); n > 0; n--) {
    const initialised = reader.peek() === 0x40;
    if (initialised) {
      const at = reader.pos++;
      const form = reader.byte();
      if (form !== 0) refuseUnknown("table form", form, at);
    }
    module.tables.push(readTableType(reader));
    if (initialised) skipConstant(reader, allocations);
  }
}

function readGlobals(reader: Reader, module: Module, allocations: Allocations): void {
  const count = reader.count();
  module.globalCount += count;
  for (let n = count; n > 0; n--) {
    readValueType(reader);
    readMutability(reader);
    skipConstant(reader, allocations);
  }
}

/** Element segments (section 5.5.12), for what their constant expressions allocate. */
function readElements(reader: Reader, allocations: Allocations): void {
  for (let n = reader.count(); n > 0; n--) {
    const at = reader.pos;
    const flags = reader.u32();
    if (flags > 7) refuseUnknown("kind of element segment", flags, at);
    const passiveOrDeclared = flags & 1;
    const explicit = flags & 2;
    const expressions = flags & 4;
    if (!passiveOrDeclared) {
      if (explicit) reader.u32();
      skipConstant(reader, allocations);
    }
    if (passiveOrDeclared || explicit) {
      if (expressions) readValueType(reader);
      else reader.byte();
    }
    for (let items = reader.count(); items > 0; items--) {
      if (expressions) skipConstant(reader, allocations);
      else reader.u32();
    }
  }
}

/**
 * Moves past a constant expression (section 3.4.14). Instantiation runs these before there is a budget, so what
 * they can allocate is bounded here: an array's length must be a plain constant, and all of them together small.
 */
export function skipConstant(reader: Reader, allocations: Allocations): void {
  let previous: number | undefined;
  for (;;) {
    const at = reader.pos;
    const op = reader.byte();
    let constant: number | undefined;
    if (op === 0x0b) return;
    if (op === 0x41) constant = reader.signed(33);
    else if (op === 0x42) reader.signed(70);
    else if (op === 0x43) reader.skip(4);
    else if (op === 0x44) reader.skip(8);
    else if (op === 0x23 || op === 0xd2) reader.u32();
    else if (op === 0xd0) readHeapType(reader);
    else if (op === 0xfd) {
      if (reader.u32() !== 0x0c) refuseUnknown("constant instruction", op, at);
      reader.skip(16);
    } else if (op === 0xfb) skipConstantAllocation(reader, previous, allocations, at);
    else if (!((op >= 0x6a && op <= 0x6c) || (op >= 0x7c && op <= 0x7e))) refuseUnknown("constant instruction", op, at);
    previous = constant;
  }
}

function skipConstantAllocation(
  reader: Reader,
  length: number | undefined,
  allocations: Allocations,
  at: number,
): void {
  const op = reader.u32();
  if (op === 0x1a || op === 0x1b || op === 0x1c) return; // conversions and ref.i31
  if (op !== 0x00 && op !== 0x01 && (op < 0x06 || op > 0x08)) refuseUnknown("constant instruction", op, at);
  reader.u32();
  let elements = 1;
  if (op === 0x08) elements = reader.u32();
  else if (op === 0x06 || op === 0x07) {
    if (length === undefined) refuse("the length of an array in a constant expression must be an i32.const", at);
    elements = length >>> 0;
  }
  allocations.allowed -= elements;
  if (allocations.allowed < 0) {
    refuse(`constant expressions allocate more than ${MODULE_LIMITS.constantElements} array elements`, at);
  }
}
