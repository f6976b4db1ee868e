/** Reads functions of a metered module: as trees, or only as far as it takes to know which may be on the stack. */
import { CORE, EIGHT, FOUR, LEB, MEMARG, MISC, NONE, SIMD, SPECIAL, UNKNOWN } from "../../wasm/instructions.ts";
import { endOf, unsignedAt } from "../../wasm/leb128.ts";
import * as Op from "../../wasm/opcode.ts";
import { Reader } from "../../wasm/reader.ts";
import * as Type from "../../wasm/type.ts";
import { type Block, type Body, type Branch, type Call, type Item, isBlock, type Target } from "./body.ts";
import type { MeteredModule } from "./metered-module.ts";
import { uncapturable } from "./uncapturable.ts";
import { CORE_RESULT, SCALAR_RESULT, SIZE, type Types } from "./value.ts";

/** Functions that the meter appends. */
const METER_FUNCTIONS = 7;

const NONE_BELOW: Types = [];

/** What a function does that decides whether it may be on the stack. */
export interface Summary {
  callees: Set<number>;
  indirect: boolean;
  callsInLoop: boolean;
  /** It is the function that asks the host for more fuel. */
  asks: boolean;
}

/** Which functions may be on the stack when it is captured. */
export interface Chosen {
  functions: ReadonlySet<number>;
  /** The function that asks the host for more fuel; -1 if there is none. */
  more: number;
}

export const NOTHING_CHOSEN: Chosen = { functions: new Set(), more: -1 };

export class BodyReader {
  readonly #metered: MeteredModule;
  readonly #bytes: Uint8Array;
  readonly #chosen: Chosen;
  // For the current function.
  #pos = 0;
  #locals: number[] = [];
  /** Types of operands; what lies above the height is stale. */
  readonly #stack: number[] = [];
  #height = 0;
  #sites = 0;
  #summary: Summary | undefined;
  #loops = 0;

  constructor(metered: MeteredModule, chosen = NOTHING_CHOSEN) {
    this.#metered = metered;
    this.#bytes = metered.bytes;
    this.#chosen = chosen;
  }

  /** @throws Uncapturable */
  summarise(index: number, start: number, end: number): Summary {
    const summary: Summary = { callees: new Set(), indirect: false, callsInLoop: false, asks: false };
    this.#summary = summary;
    this.read(index, start, end);
    this.#summary = undefined;
    return summary;
  }

  /** @returns the function's body, and the types of its parameters and locals @throws Uncapturable */
  read(index: number, start: number, end: number): { body: Body; locals: number[] } {
    const [params] = this.#metered.signature(this.#metered.module.functions[index]!);
    const reader = new Reader(this.#bytes, start, end);
    this.#locals = [...params];
    for (let groups = reader.count(); groups > 0; groups--) {
      const count = reader.u32();
      const type = reader.byte();
      // The code of a reference may have more bytes: its first one is not in the table.
      if (!(type in SIZE)) uncapturable("a reference in a local");
      for (let n = 0; n < count; n++) this.#locals.push(type);
    }
    this.#pos = reader.pos;
    this.#height = 0;
    this.#sites = 0;
    this.#loops = 0;
    return { body: this.#readBody([])[0], locals: this.#locals };
  }

  #push(types: Types): void {
    for (const type of types) this.#stack[this.#height++] = type;
  }

  #leb(): number {
    const at = this.#pos;
    this.#pos = endOf(this.#bytes, at);
    return unsignedAt(this.#bytes, at);
  }

  #skipLeb(): void {
    this.#pos = endOf(this.#bytes, this.#pos);
  }

  #blockType(): readonly [params: Types, results: Types] {
    const byte = this.#bytes[this.#pos]!;
    if (byte === Type.empty) {
      this.#pos++;
      return [[], []];
    }
    if (byte in SIZE) {
      this.#pos++;
      return [[], [byte]];
    }
    if (byte >= Type.empty && byte < 0x80) uncapturable("a reference from a block");
    return this.#metered.signature(this.#leb());
  }

  /** @returns the body, and what ends it: `else` or `end` */
  #readBody(params: Types): [Body, number] {
    const base = this.#height - params.length;
    const body: Body = { params, items: [], targets: [], lastSite: 0 };
    let raw = this.#pos;
    const before = (at: number) => {
      if (at > raw && !this.#summary) body.items.push({ kind: "raw", start: raw, end: at });
    };
    const add = (item: Item, at: number) => {
      if (this.#summary) return;
      before(at);
      body.items.push(item);
      raw = this.#pos;
    };
    const target = (item: Target) => {
      if (item.lastSite === 0) return;
      body.targets.push(item);
      body.lastSite = item.lastSite;
    };
    for (;;) {
      const at = this.#pos;
      const op = this.#bytes[this.#pos++]!;
      if (op === Op.end || op === Op.else) {
        before(at);
        this.#height = base;
        return [body, op];
      }
      if (isBlock(op)) {
        const block = this.#readBlock(op, base);
        add(block, at);
        target(block);
      } else if (op === Op.br || op === Op.brIf || op === Op.brTable) {
        add(this.#readBranch(op), at);
      } else if (op === Op.call || op === Op.callIndirect) {
        const call = this.#readCall(op, at, base);
        if (call.site > 0) {
          add(call, at);
          target(call);
        }
      } else this.#readPlain(op);
      if (op === Op.unreachable || op === Op.br || op === Op.brTable || op === Op.return) {
        before(this.#pos);
        const end = this.#skipDead();
        this.#height = base;
        return [body, end];
      }
    }
  }

  #readBlock(op: number, base: number): Block {
    const [params, results] = this.#blockType();
    if (op === Op.if) this.#height--;
    const under = this.#summary ? NONE_BELOW : this.#stack.slice(base, this.#height - params.length);
    if (op === Op.loop) this.#loops++;
    const [first, ended] = this.#readBody(params);
    const bodies = [first];
    if (ended === Op.else) {
      this.#push(params);
      bodies.push(this.#readBody(params)[0]);
    }
    if (op === Op.loop) this.#loops--;
    this.#push(results);
    const lastSite = Math.max(...bodies.map(({ lastSite }) => lastSite));
    return { kind: "block", op, params, results, under, bodies, lastSite, spills: [] };
  }

  #readBranch(op: number): Branch {
    if (op !== Op.br) this.#height--;
    const count = op === Op.brTable ? this.#leb() + 1 : 1;
    return { kind: "branch", op, labels: Array.from({ length: count }, () => this.#leb()) };
  }

  #readCall(op: number, start: number, base: number): Call {
    const summary = this.#summary;
    const { module, refillTable } = this.#metered;
    const index = this.#leb();
    const [params, results] = this.#metered.signature(op === Op.call ? module.functions[index]! : index);
    const callee = op === Op.call ? index : undefined;
    if (op === Op.callIndirect) {
      const asks = this.#leb() === refillTable;
      if (summary && asks) summary.asks = true;
      this.#height--;
    }
    if (summary) {
      if (callee === undefined) summary.indirect = true;
      else if (callee >= module.importedFunctions) {
        summary.callees.add(callee);
        // Every loop calls one of the meter's own.
        if (this.#loops > 0 && callee < module.functions.length - METER_FUNCTIONS) summary.callsInLoop = true;
      }
    }
    this.#height -= params.length;
    const { functions, more } = this.#chosen;
    const isSite = callee === undefined || callee === more || functions.has(callee);
    const site = isSite && !summary ? ++this.#sites : 0;
    const under = site > 0 ? this.#stack.slice(base, this.#height) : NONE_BELOW;
    this.#push(results);
    return { kind: "call", start, end: this.#pos, callee, params, results, under, site, lastSite: site };
  }

  /** Any other instruction. */
  #readPlain(op: number): void {
    const stack = this.#stack;
    switch (op) {
      case Op.localGet:
        stack[this.#height++] = this.#locals[this.#leb()]!;
        return;
      case Op.globalGet:
        stack[this.#height++] = this.#metered.globals[this.#leb()]!.type;
        return;
      case Op.localSet:
      case Op.globalSet:
        this.#skipLeb();
        this.#height--;
        return;
      case Op.localTee:
        this.#skipLeb();
        return;
      case Op.nop:
      case Op.unreachable:
      case Op.return:
        return;
      case Op.drop:
        this.#height--;
        return;
      case Op.select:
        this.#height -= 2;
        return;
      case Op.selectTyped:
        this.#skipSelectTypes();
        this.#height -= 2;
        return;
      case Op.miscPrefix: {
        const sub = this.#skipPrefixed(op);
        this.#height -= MISC.pops[sub]!;
        if (sub <= Op.i64TruncSatF64U) stack[this.#height++] = sub < Op.i64TruncSatF32S ? Type.i32 : Type.i64;
        return;
      }
      case Op.simdPrefix: {
        const sub = this.#skipPrefixed(op);
        this.#height -= SIMD.pops[sub]!;
        if (SIMD.pushes[sub]! > 0) stack[this.#height++] = SCALAR_RESULT[sub] ?? Type.v128;
        return;
      }
    }
    if (CORE.immediate[op]! >= SPECIAL || !isNumeric(op)) uncapturable("an instruction");
    this.#skipImmediate(CORE.immediate[op]!);
    this.#height -= CORE.pops[op]!;
    if (CORE.pushes[op]! > 0) stack[this.#height++] = CORE_RESULT[op]!;
  }

  #skipSelectTypes(): void {
    for (let n = this.#leb(); n > 0; n--) if (!(this.#bytes[this.#pos++]! in SIZE)) uncapturable("a reference");
  }

  #skipImmediate(immediate: number): void {
    if (immediate === LEB) this.#skipLeb();
    else if (immediate === MEMARG) this.#skipMemarg();
    else if (immediate === FOUR) this.#pos += 4;
    else if (immediate === EIGHT) this.#pos += 8;
  }

  #skipMemarg(): void {
    // From bit 6 on the alignment says more than the alignment.
    if (this.#leb() >= 0x40) uncapturable("several memories");
    this.#skipLeb();
  }

  /** Moves past an instruction with a prefix. @returns its number after that */
  #skipPrefixed(op: number): number {
    const set = op === Op.miscPrefix ? MISC : SIMD;
    const sub = this.#leb();
    const immediate = set.immediate[sub] ?? UNKNOWN;
    if (immediate === UNKNOWN) uncapturable("an instruction");
    if (op === Op.simdPrefix) {
      if (immediate === MEMARG) this.#skipMemarg();
      this.#pos += set.trailing[sub]!;
      return sub;
    }
    // Instructions that drop segments or change a table leave traces that cannot be read.
    if (sub > Op.i64TruncSatF64U && sub !== Op.memoryCopy && sub !== Op.memoryFill) {
      uncapturable("a table or segments that change");
    }
    if (immediate !== NONE) this.#skipLeb();
    if (immediate === SPECIAL) this.#skipLeb();
    return sub;
  }

  /** Moves past code that is never run, to what ends the body. @returns that: `else` or `end` */
  #skipDead(): number {
    for (let depth = 0; ; ) {
      const op = this.#bytes[this.#pos++]!;
      if (op === Op.end && depth-- === 0) return op;
      if (op === Op.else && depth === 0) return op;
      if (isBlock(op)) {
        depth++;
        this.#blockType();
      } else if (op === Op.brTable) for (let n = this.#leb() + 1; n > 0; n--) this.#skipLeb();
      else if (op === Op.br || op === Op.brIf || op === Op.call) this.#skipLeb();
      else if (op === Op.callIndirect) {
        this.#skipLeb();
        this.#skipLeb();
      } else if (op === Op.selectTyped) this.#skipSelectTypes();
      else if (op === Op.miscPrefix || op === Op.simdPrefix) this.#skipPrefixed(op);
      else if ((op >= Op.localGet && op <= Op.globalSet) || isNumeric(op)) this.#skipImmediate(CORE.immediate[op]!);
      else if (!BARE.has(op)) uncapturable("an instruction");
    }
  }
}

/** Loads, stores, constants and arithmetic. */
const isNumeric = (op: number): boolean => op >= Op.i32Load && op <= Op.i64Extend32S;

/** Instructions without immediates that are not numeric. */
const BARE = new Set<number>([Op.end, Op.else, Op.unreachable, Op.nop, Op.return, Op.drop, Op.select]);
