/**
 * Reads a module's structure (WebAssembly 3.0, chapter 5) by allow-list: what is not named here is refused.
 * It is meant for modules that validation has seen: it does not check what validation promises.
 */
import { Allocations, skipConstant } from "./constant.ts";
import { type ExternKind, readKind } from "./external.ts";
import { proposed, unknown, wrongLength } from "./malformed.ts";
import { Reader } from "./reader.ts";
import * as Section from "./section.ts";
import { readSections, type SectionRange } from "./section.ts";
import * as Type from "./type.ts";
import { readValueType, skipValueType, skipValueTypes } from "./value-type.ts";

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

export interface SizeLimits {
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
  /** Whether one of the types is an array. */
  hasArrays: boolean;
  imports: Import[];
  /** Types of all functions, the imported ones first. */
  functions: number[];
  importedFunctions: number;
  tables: SizeLimits[];
  importedTables: number;
  memories: SizeLimits[];
  importedMemories: number;
  globalCount: number;
  tags: number[];
  exports: { name: string; kind: ExternKind; at: number }[];
  start: number | undefined;
}

/**
 * @param maxElements array elements that the module's constant expressions may allocate together
 * @throws VakError `invalid-module` naming what is not known, or not allowed, and at which byte
 */
export function readModule(bytes: Uint8Array, maxElements = Infinity): Module {
  const module: Module = {
    bytes,
    sections: readSections(bytes),
    types: [],
    structFields: [],
    hasArrays: false,
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
  const allocations = new Allocations(maxElements);
  for (const section of module.sections) {
    const reader = new Reader(bytes, section.start, section.end);
    switch (section.id) {
      case Section.type:
        readTypes(reader, module);
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
          module.exports.push({ name, kind: readKind(reader), at });
          reader.u32();
        }
        break;
      case Section.start:
        module.start = reader.u32();
        break;
      case Section.element:
        if (module.hasArrays) readElements(reader, allocations);
        else reader.pos = reader.end;
        break;
      default:
        // Custom sections and data are skipped; code has readers of its own.
        reader.pos = reader.end;
    }
    if (!reader.done) wrongLength(reader.pos);
  }
  return module;
}

function readTypes(reader: Reader, module: Module): void {
  for (let groups = reader.count(); groups > 0; groups--) {
    let members = 1;
    if (reader.peek() === Type.rec) {
      reader.pos++;
      members = reader.count();
    }
    for (; members > 0; members--) readSubType(reader, module);
  }
}

function readSubType(reader: Reader, module: Module): void {
  if (reader.peek() === Type.sub || reader.peek() === Type.subFinal) {
    reader.pos++;
    for (let supers = reader.count(); supers > 0; supers--) reader.u32();
  }
  const index = module.types.length;
  const at = reader.pos;
  const form = reader.byte();
  let type: FuncType | undefined;
  if (form === Type.func) type = readFuncType(reader);
  else if (form === Type.struct) {
    const fields = reader.count();
    module.structFields[index] = fields;
    for (let n = fields; n > 0; n--) skipField(reader);
  } else if (form === Type.array) {
    module.hasArrays = true;
    skipField(reader);
  } else if (form === Type.shared) proposed("a shared type (threads)", at);
  else unknown("type form", form, at);
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

function skipField(reader: Reader): void {
  const byte = reader.peek();
  if (byte === Type.i8 || byte === Type.i16) reader.pos++;
  else skipValueType(reader);
  reader.byte();
}

function readImports(reader: Reader, module: Module): void {
  for (let n = reader.count(); n > 0; n--) {
    const at = reader.pos;
    const from = reader.name();
    const name = reader.name();
    const kind = readKind(reader);
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
  if (kind !== 0) unknown("kind of tag", kind, at);
  return reader.u32();
}

function readMutability(reader: Reader): void {
  const at = reader.pos;
  if (reader.byte() > 1) proposed("a shared global (threads)", at);
}

function readMemoryType(reader: Reader): SizeLimits {
  return readLimits(reader, "memory");
}

function readTableType(reader: Reader): SizeLimits {
  readValueType(reader);
  return readLimits(reader, "table");
}

/** Flags of limits (section 5.3.12); the second and the last are those of proposals. */
export const HAS_MAX = 0x01;
const SHARED = 0x02;
const IS_64 = 0x04;
const OWN_PAGE_SIZE = 0x08;

function readLimits(reader: Reader, what: string): SizeLimits {
  const start = reader.pos;
  const flags = reader.byte();
  if (flags & SHARED) proposed(`a shared ${what} (threads)`, start);
  if (flags & OWN_PAGE_SIZE) proposed(`a ${what} with its own page size`, start);
  if (flags > (HAS_MAX | IS_64)) unknown("flags of limits", flags, start);
  const min = reader.u64();
  const max = flags & HAS_MAX ? reader.u64() : undefined;
  return { flags, min, max, is64: (flags & IS_64) !== 0, start, end: reader.pos };
}

/** What precedes a table that is initialised (section 5.5.8). */
const TABLE_WITH_INIT = 0x40;

function readTables(reader: Reader, module: Module, allocations: Allocations): void {
  for (let n = reader.count(); n > 0; n--) {
    const initialised = reader.peek() === TABLE_WITH_INIT;
    if (initialised) {
      const at = reader.pos++;
      const form = reader.byte();
      if (form !== 0) unknown("table form", form, at);
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
    if (flags > 7) unknown("kind of element segment", flags, at);
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
