/** Writes functions with the meter's code in them, from the events that `scan.ts` found. */

import { malformed } from "../wasm/malformed.ts";
import type { Module } from "../wasm/module.ts";
import * as Op from "../wasm/opcode.ts";
import { Reader } from "../wasm/reader.ts";
import * as Type from "../wasm/type.ts";
import { Writer } from "../wasm/writer.ts";
import * as Event from "./event.ts";
import { CAUGHT_AT_HEADER, PLAIN } from "./event.ts";
import { FIRST_SLOT, type FunctionScan } from "./scan.ts";

/** Indices that the added code refers to; they follow the module's own. */
export interface Added {
  fuelGlobal: number;
  depthGlobal: number;
  moreFunction: number;
  bulkFunction: number;
  longBulkFunction: number;
}

export interface Plan {
  fuel: boolean;
  resumable: boolean;
  /** Words of call stack; undefined for no limit. */
  stackDepth: number | undefined;
  nan: boolean;
  added: Added;
  /** The block type without parameters that has the results of a function type. */
  resultsOf(type: number): ArrayLike<number>;
  /** The index of a global of number type `type` for the `n`th local to save. */
  savingGlobal(type: number, n: number): number;
}

/** Words that a frame takes besides its parameters, locals and operands. */
const FRAME_WORDS = 4;
/** A function without calls counts towards the depth only above this: there is only one such frame at a time. */
const LEAF_WORDS = 256;
/** The engines' own limit on the bytes of a function. */
const MAX_FUNCTION_BYTES = 7_654_321;

/** By floating-point type: the type of its local, the canonical NaN, and what compares and selects. */
const NAN_CODE = [
  { type: Type.f32, constant: [Op.f32Const, 0, 0, 0xc0, 0x7f], choose: [Op.f32Eq, Op.select] },
  { type: Type.f64, constant: [Op.f64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f], choose: [Op.f64Eq, Op.select] },
  {
    type: Type.v128,
    constant: [Op.simdPrefix, Op.v128Const, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f],
    choose: [Op.simdPrefix, Op.f32x4Eq, Op.simdPrefix, Op.v128Bitselect],
  },
  {
    type: Type.v128,
    constant: [Op.simdPrefix, Op.v128Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
    choose: [Op.simdPrefix, Op.f64x2Eq, Op.simdPrefix, Op.v128Bitselect],
  },
] as const;

export class FunctionEmitter {
  readonly #module: Module;
  readonly #plan: Plan;
  readonly #scan: FunctionScan;
  readonly #body = new Writer(1 << 16);
  /** Offsets in the current function of branches that are hardly ever taken. */
  readonly #unlikely: number[] = [];
  #fuelLocal = 0;
  #depthLocal = 0;
  /** By floating-point type. */
  readonly #nanLocals = [0, 0, 0, 0];
  /** The counter is in `fuelLocal`; it is in its global only while control is outside the function. */
  #cached = false;
  /** The function counts towards the depth of the stack. */
  #counted = false;
  /** Words of its frame. */
  #words = 0;

  /** The branch hints of all functions so far, and how many functions have any. */
  readonly hints = new Writer();
  hintedFunctions = 0;

  constructor(module: Module, plan: Plan, scan: FunctionScan) {
    this.#module = module;
    this.#plan = plan;
    this.#scan = scan;
  }

  /** Appends function `index`, which `scan` has just read and whose body ends at `end`, to `out`. */
  emit(index: number, end: number, out: Writer): void {
    const scan = this.#scan;
    const plan = this.#plan;
    const body = this.#body;
    const module = this.#module;
    this.#words = FRAME_WORDS + scan.localWords + scan.maxHeight * (scan.usesV128 ? 2 : 1);
    this.#counted = plan.stackDepth !== undefined && (scan.hasCall || this.#words > LEAF_WORDS);
    this.#cached = plan.fuel && scan.hasLoop && !scan.hasTry;
    body.length = 0;
    this.#unlikely.length = 0;

    this.#writeLocals();
    if (this.#counted) this.#enterDepth();
    if (plan.fuel) {
      if (scan.hasCall) this.#chargeAndCheck(scan.costs[FIRST_SLOT]!, false, 0);
      else {
        this.#global(Op.globalGet);
        this.#subtract(scan.costs[FIRST_SLOT]!);
        if (this.#cached) this.#local(Op.localSet, this.#fuelLocal);
        else this.#global(Op.globalSet);
      }
    }
    // Whatever leaves the function then leaves this block, and reaches what has to be done last.
    const wrapped = this.#cached || this.#counted;
    if (wrapped) body.byte(Op.block).raw(plan.resultsOf(module.functions[index]!));
    this.#writeEvents(wrapped, end);
    if (wrapped) {
      body.byte(Op.end);
      this.#leave(true);
    }
    body.byte(Op.end);

    if (body.length > MAX_FUNCTION_BYTES) {
      malformed(`function ${index} is too large once metered: ${body.length} bytes`, scan.localsAt);
    }
    out.unsigned(body.length).copy(body.bytes, 0, body.length);
    this.#writeHints(index);
  }

  #writeLocals(): void {
    const scan = this.#scan;
    const plan = this.#plan;
    const body = this.#body;
    const module = this.#module;
    const counted = this.#counted;
    const hasFuel = plan.fuel && (scan.hasCall || scan.hasLoop);
    let floats = 0;
    for (let float = 0; float < NAN_CODE.length; float++) floats += (scan.floats >> float) & 1;
    body.unsigned(scan.localGroups + (hasFuel ? 1 : 0) + (counted ? 1 : 0) + floats);
    body.copy(module.bytes, scan.groupsAt, scan.codeAt);
    let next = scan.localCount;
    if (hasFuel) {
      this.#fuelLocal = next++;
      body.byte(1).byte(Type.i64);
    }
    if (counted) {
      this.#depthLocal = next++;
      body.byte(1).byte(Type.i32);
    }
    for (let float = 0; float < NAN_CODE.length; float++) {
      if (!(scan.floats & (1 << float))) continue;
      this.#nanLocals[float] = next++;
      body.byte(1).byte(NAN_CODE[float]!.type);
    }
  }

  #writeEvents(wrapped: boolean, end: number): void {
    const scan = this.#scan;
    const plan = this.#plan;
    const body = this.#body;
    const cached = this.#cached;
    const counted = this.#counted;
    const { kinds, starts, ends, a, b, c, costs, events } = scan;
    const { fuel, added } = plan;
    const { bytes } = this.#module;
    /** Set in the flags of the loops that {@link writePlainLoop} writes. */
    const doubled = cached && plan.resumable ? PLAIN : 0;
    let copied = scan.codeAt;

    for (let n = 0; n < events; n++) {
      const start = starts[n]!;
      const after = ends[n]!;
      const x = a[n]!;
      const y = b[n]!;
      switch (kinds[n]) {
        case Event.charge:
          if (!fuel || costs[x] === 0) continue;
          body.copy(bytes, copied, start);
          this.#charge(costs[x]!);
          copied = start;
          break;
        case Event.loop:
          body.copy(bytes, copied, after);
          copied = after;
          if (y & CAUGHT_AT_HEADER && counted) this.#restoreDepth();
          if (y & doubled) this.#writePlainLoop(start, after, costs[x]!, c[n]!);
          else if (fuel) this.#chargeAndCheck(costs[x]!, cached, c[n]!);
          break;
        case Event.loopEnd:
          if (!(b[x]! & doubled)) continue;
          body.copy(bytes, copied, start).byte(Op.end);
          copied = start;
          break;
        case Event.label:
          if (!(b[y]! & doubled)) continue;
          body.copy(bytes, copied, start).unsigned(x + 1);
          copied = after;
          break;
        case Event.labels:
          if (!(b[y]! & doubled)) continue;
          body.copy(bytes, copied, start);
          this.#writeLabels(start, after, x);
          copied = after;
          break;
        case Event.call:
          if (!fuel) continue;
          body.copy(bytes, copied, start);
          if (cached) this.#flush();
          body.copy(bytes, start, after);
          if (cached) this.#reload(costs[x]!);
          else if (costs[x]! > 0) this.#charge(costs[x]!);
          copied = after;
          break;
        case Event.tailCall:
          body.copy(bytes, copied, start);
          this.#leave(true);
          copied = start;
          break;
        case Event.leave:
          body.copy(bytes, copied, start);
          this.#leave(false);
          copied = start;
          break;
        case Event.return:
          if (!wrapped) continue;
          body.copy(bytes, copied, start).byte(Op.br);
          body.unsigned(y >= 0 && b[y]! & doubled ? x + 1 : x);
          copied = after;
          break;
        case Event.nan:
          body.copy(bytes, copied, start);
          this.#canonicalise(x);
          copied = start;
          break;
        case Event.bulk:
          if (!fuel) continue;
          body.copy(bytes, copied, start);
          if (cached) this.#flush();
          body.byte(Op.call).unsigned(x ? added.longBulkFunction : added.bulkFunction);
          if (cached) this.#reload(0);
          copied = start;
          break;
        case Event.caught:
          if (!counted) continue;
          body.copy(bytes, copied, start);
          this.#restoreDepth();
          copied = start;
          break;
      }
    }
    body.copy(bytes, copied, end - 1);
  }

  /**
   * A loop without calls, loops or parameters gets a second loop around it. Its check branches out to that one, which
   * asks the host: engines do not unroll a loop with a call in it, even on a cold path. Labels that lead out of the
   * inner loop have one more level to cross.
   */
  #writePlainLoop(start: number, after: number, cost: number, saved: number): void {
    const body = this.#body;
    const module = this.#module;
    this.#local(Op.localGet, this.#fuelLocal);
    this.#check(saved);
    body.copy(module.bytes, start, after);
    this.#local(Op.localGet, this.#fuelLocal);
    this.#ifNegative(Op.i64Const, Op.i64LtS, Op.brIf, 1);
    if (cost > 0) this.#charge(cost);
  }

  /** The labels of a br_table; those greater than `inside` cross the added loop. */
  #writeLabels(start: number, end: number, inside: number): void {
    const reader = new Reader(this.#module.bytes, start, end);
    const count = reader.u32();
    this.#body.unsigned(count);
    for (let n = count + 1; n > 0; n--) {
      const label = reader.u32();
      this.#body.unsigned(label > inside ? label + 1 : label);
    }
  }

  #canonicalise(float: number): void {
    const { constant, choose } = NAN_CODE[float]!;
    this.#local(Op.localTee, this.#nanLocals[float]!);
    this.#body.raw(constant);
    this.#local(Op.localGet, this.#nanLocals[float]!);
    this.#local(Op.localGet, this.#nanLocals[float]!);
    this.#body.raw(choose);
  }

  #local(op: number, index: number): void {
    this.#body.byte(op).unsigned(index);
  }

  /** Gets or sets the fuel's global. */
  #global(op: number): void {
    this.#body.byte(op).unsigned(this.#plan.added.fuelGlobal);
  }

  #subtract(cost: number): void {
    this.#body.byte(Op.i64Const).signed(cost).byte(Op.i64Sub);
  }

  #charge(cost: number): void {
    if (this.#cached) this.#local(Op.localGet, this.#fuelLocal);
    else this.#global(Op.globalGet);
    this.#subtract(cost);
    if (this.#cached) this.#local(Op.localSet, this.#fuelLocal);
    else this.#global(Op.globalSet);
  }

  /**
   * @param fromLocal whether the counter is already in its local
   * @param saved where a list of `savedLocals` begins; 0 for none
   */
  #chargeAndCheck(cost: number, fromLocal: boolean, saved: number): void {
    if (fromLocal) this.#local(Op.localGet, this.#fuelLocal);
    else this.#global(Op.globalGet);
    if (cost > 0) this.#subtract(cost);
    if (!fromLocal || cost > 0) this.#local(Op.localTee, this.#fuelLocal);
    if (!this.#cached && cost > 0) {
      this.#global(Op.globalSet);
      this.#local(Op.localGet, this.#fuelLocal);
    }
    this.#check(saved);
  }

  /**
   * Asks the host for more, or traps, if the counter on top of the stack is negative. `fuelLocal` holds it too.
   *
   * A call within a loop, even on a cold path, makes engines keep what lives across it out of registers: that halves
   * the speed of a small loop. So what such a loop reads is kept in globals during the call.
   */
  #check(saved: number): void {
    const body = this.#body;
    const plan = this.#plan;
    this.#ifNegative(Op.i64Const, Op.i64LtS, Op.if, Type.empty);
    if (plan.resumable) {
      this.#moveSaved(saved, Op.localGet, Op.globalSet);
      this.#local(Op.localGet, this.#fuelLocal);
      body.byte(Op.call).unsigned(plan.added.moreFunction);
      if (this.#cached) this.#local(Op.localSet, this.#fuelLocal);
      else body.byte(Op.drop);
      this.#moveSaved(saved, Op.globalGet, Op.localSet);
    } else {
      if (this.#cached) this.#flush();
      body.byte(Op.unreachable);
    }
    body.byte(Op.end);
  }

  /** A branch that is hardly ever taken: only if the top of the stack is negative. */
  #ifNegative(zero: number, lessThan: number, branch: number, immediate: number): void {
    this.#body.byte(zero).byte(0).byte(lessThan);
    this.#unlikely.push(this.#body.length);
    this.#body.byte(branch).byte(immediate);
  }

  #moveSaved(saved: number, first: number, second: number): void {
    if (saved === 0) return;
    const scan = this.#scan;
    const body = this.#body;
    const plan = this.#plan;
    const used = [0, 0, 0, 0, 0];
    for (let n = 1; n <= scan.savedLocals[saved]!; n++) {
      const local = scan.savedLocals[saved + n]!;
      const type = scan.localType(local);
      const global = plan.savingGlobal(type, used[Type.i32 - type]!++);
      body.byte(first).unsigned(first === Op.localGet ? local : global);
      body.byte(second).unsigned(second === Op.localSet ? local : global);
    }
  }

  #flush(): void {
    this.#local(Op.localGet, this.#fuelLocal);
    this.#global(Op.globalSet);
  }

  /** Loads the counter from the global, less `cost`. */
  #reload(cost: number): void {
    this.#global(Op.globalGet);
    if (cost > 0) this.#subtract(cost);
    this.#local(Op.localSet, this.#fuelLocal);
  }

  #enterDepth(): void {
    const body = this.#body;
    const plan = this.#plan;
    const words = this.#words;
    body.byte(Op.globalGet).unsigned(plan.added.depthGlobal);
    body.byte(Op.i32Const).signed(words).byte(Op.i32Sub);
    this.#local(Op.localTee, this.#depthLocal);
    this.#ifNegative(Op.i32Const, Op.i32LtS, Op.if, Type.empty);
    // -1, not the difference, so that the global cannot wrap, however often this happens.
    body.byte(Op.i32Const).signed(-1).byte(Op.globalSet).unsigned(plan.added.depthGlobal);
    body.byte(Op.unreachable).byte(Op.end);
    this.#restoreDepth();
  }

  /** On entry, and after an exception: the frames that it left have not given back their depth. */
  #restoreDepth(): void {
    this.#local(Op.localGet, this.#depthLocal);
    this.#body.byte(Op.globalSet).unsigned(this.#plan.added.depthGlobal);
  }

  /** Before control leaves the frame. @param orderly not by an exception or a trap */
  #leave(orderly: boolean): void {
    const body = this.#body;
    const plan = this.#plan;
    if (this.#cached) this.#flush();
    if (!orderly || !this.#counted) return;
    this.#local(Op.localGet, this.#depthLocal);
    body.byte(Op.i32Const).signed(this.#words).byte(Op.i32Add);
    body.byte(Op.globalSet).unsigned(plan.added.depthGlobal);
  }

  #writeHints(index: number): void {
    if (this.#unlikely.length === 0) return;
    this.hintedFunctions++;
    this.hints.unsigned(index).unsigned(this.#unlikely.length);
    for (const offset of this.#unlikely) this.hints.unsigned(offset).byte(1).byte(0);
  }
}
