/** What is known of a metered module before its functions are read: signatures, globals, where the functions are. */
import { REFILL_EXPORT } from "../../meter/index.ts";
import { Allocations, skipConstant } from "../../wasm/constant.ts";
import * as External from "../../wasm/external.ts";
import { type Module, readModule } from "../../wasm/module.ts";
import { Reader } from "../../wasm/reader.ts";
import * as Section from "../../wasm/section.ts";
import { uncapturable } from "./uncapturable.ts";
import { SIZE, type Types } from "./value.ts";

export class MeteredModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly module: Module;
  readonly globals: { type: number; mutable: boolean }[] = [];
  /** Where each function's body begins and ends. */
  readonly bodies: (readonly [start: number, end: number])[] = [];
  /** The table through which the meter calls the host for more fuel; -1 if there is none. */
  refillTable = -1;
  /** The function `_start`; -1 for a reactor. */
  start = -1;
  readonly #signatures: (readonly [Types, Types] | undefined)[];

  /** @throws Uncapturable */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.module = readModule(bytes);
    const { types, memories, tables, sections } = this.module;
    if (memories.length !== 1 || memories[0]!.is64) uncapturable("its memory");
    if (tables.some(({ is64 }) => is64)) uncapturable("a large table");
    this.#signatures = types.map((type) => {
      if (!type) return undefined;
      const [params, results] = [type.params, type.results].map((at) => this.#valueTypes(at));
      return params && results && [params, results];
    });
    for (const { id, start, end } of sections) {
      const reader = new Reader(bytes, start, end);
      if (id === Section.global) this.#readGlobals(reader);
      if (id === Section.export) this.#readExports(reader);
      if (id === Section.code) this.#readBodies(reader);
    }
  }

  /** The parameters and results of a type. @throws Uncapturable where one of them is a reference */
  signature(type: number): readonly [params: Types, results: Types] {
    return this.#signatures[type] ?? uncapturable("a reference in a signature");
  }

  /** The types of a vector that begins at `at`; undefined where one of them is a reference. */
  #valueTypes(at: number): Types | undefined {
    const reader = new Reader(this.bytes, at, this.bytes.length);
    const found: number[] = [];
    for (let n = reader.count(); n > 0; n--) {
      const type = reader.byte();
      if (!(type in SIZE)) return undefined;
      found.push(type);
    }
    return found;
  }

  #readGlobals(reader: Reader): void {
    for (let n = reader.count(); n > 0; n--) {
      const type = reader.byte();
      if (!(type in SIZE)) uncapturable("a reference in a global");
      this.globals.push({ type, mutable: reader.byte() === 1 });
      skipConstant(reader, new Allocations(Infinity));
    }
  }

  #readExports(reader: Reader): void {
    for (let n = reader.count(); n > 0; n--) {
      const name = reader.name();
      const kind = reader.byte();
      const index = reader.u32();
      if (name === REFILL_EXPORT && kind === External.table) this.refillTable = index;
      if (name === "_start" && kind === External.func) this.start = index;
    }
  }

  #readBodies(reader: Reader): void {
    for (let n = reader.count(); n > 0; n--) {
      const size = reader.u32();
      const start = reader.pos;
      reader.skip(size);
      this.bodies.push([start, start + size]);
    }
  }
}
