/**
 * Writes a function with what makes its frame capturable: how it unwinds at its sites, and how it gets back to them.
 */
import * as Op from "../../wasm/opcode.ts";
import { Reader } from "../../wasm/reader.ts";
import * as Type from "../../wasm/type.ts";
import { Writer } from "../../wasm/writer.ts";
import type { AddedTypes } from "./added-types.ts";
import { type Block, type Body, type Branch, type Call, operandsOf } from "./body.ts";
import type { BodyReader } from "./body-reader.ts";
import { REWINDING } from "./exports.ts";
import type { MeteredModule } from "./metered-module.ts";
import { uncapturable } from "./uncapturable.ts";
import { LOAD, SIZE, STORE, sizeOf, type Types, ZERO } from "./value.ts";

/** Bytes that the meter and this add to a frame at most: counters, NaNs, the index of a call, the site's number. */
const ADDED_LOCAL_BYTES = 72;

/** One of each type: what holds operands for a moment. */
const TEMPORARIES = [Type.i32, Type.i64, Type.f32, Type.f64, Type.v128];

/** Indices of the globals that are added. */
export interface Globals {
  state: number;
  pointer: number;
  here: number;
}

export class FunctionWriter {
  /** Bytes that a frame may take besides 8 for each word that the meter counts for it. */
  frameExtra = 0;
  readonly #metered: MeteredModule;
  readonly #reader: BodyReader;
  /** The function that asks the host for more fuel. */
  readonly #more: number;
  readonly #types: AddedTypes;
  readonly #globals: Globals;
  readonly #out = new Writer(1 << 16);
  // For the current function.
  /** Labels that are open inside each frame of the original function, from its body on. */
  #open: number[] = [];
  #siteLocal = 0;
  #indexLocal = 0;
  /** Where a frame keeps the operands below a call. */
  #underBase = 0;
  #temporaries = new Map<number, number>();

  constructor(metered: MeteredModule, reader: BodyReader, more: number, types: AddedTypes, globals: Globals) {
    this.#metered = metered;
    this.#reader = reader;
    this.#more = more;
    this.#types = types;
    this.#globals = globals;
  }

  /** Appends the function whose body is the bytes from `start` to `end` to `code`. @throws Uncapturable */
  write(index: number, start: number, end: number, code: Writer): void {
    const { body, locals: kept } = this.#reader.read(index, start, end);
    const [, results] = this.#metered.signature(this.#metered.module.functions[index]!);
    const original = kept.length;
    // Added locals: what is kept of operands, and the index of an indirect call; then those that need not be kept.
    this.#indexLocal = kept.push(Type.i32) - 1;
    const spilled = assignSpills(body, kept);
    const layout: number[] = [];
    let bytes = 0;
    for (const type of kept) {
      layout.push(bytes);
      bytes += SIZE[type]!;
    }
    this.#underBase = bytes;
    const frame = this.#underBase + largestUnder(body) + SIZE[Type.i32]!;
    const siteAt = frame - SIZE[Type.i32]!;
    this.frameExtra = Math.max(this.frameExtra, ADDED_LOCAL_BYTES + spilled);
    this.#siteLocal = kept.length;
    this.#temporaries = new Map(TEMPORARIES.map((type, n) => [type, this.#siteLocal + 1 + n]));

    const out = this.#out;
    out.length = 0;
    this.#copyLocals(start, end, [...kept.slice(original), Type.i32, ...TEMPORARIES]);

    this.#globalGet(this.#globals.state);
    out.raw([Op.i32Const, REWINDING, Op.i32Eq, Op.if, Type.empty]);
    this.#movePointer(-frame);
    this.#load(Type.i32, siteAt);
    this.#localSet(this.#siteLocal);
    kept.forEach((type, local) => {
      this.#load(type, layout[local]!);
      this.#localSet(local);
    });
    out.byte(Op.end);
    out.raw([Op.block, Type.empty]).byte(Op.block);
    this.#writeBlockType([], results);
    this.#open = [];
    this.#writeBody(body);
    out.raw([Op.end, Op.return, Op.end]);
    kept.forEach((type, local) => {
      this.#store(type, layout[local]!, local);
    });
    this.#store(Type.i32, siteAt, this.#siteLocal);
    this.#movePointer(frame);
    for (const type of results) out.raw(ZERO[type]!);
    out.byte(Op.end);
    code.vector(out.length, out.written());
  }

  #copyLocals(start: number, end: number, added: number[]): void {
    const { bytes } = this.#metered;
    const reader = new Reader(bytes, start, end);
    const groups = reader.count();
    const from = reader.pos;
    for (let n = groups; n > 0; n--) {
      reader.u32();
      reader.byte();
    }
    this.#out.unsigned(groups + added.length).copy(bytes, from, reader.pos);
    for (const type of added) this.#out.byte(1).byte(type);
  }

  #writeBody(body: Body): void {
    const out = this.#out;
    const { targets, items } = body;
    const level = this.#open.push(targets.length) - 1;
    if (targets.length > 0) this.#writeJumps(body);
    let next = 0;
    for (const item of items) {
      if (item.kind === "raw") out.copy(this.#metered.bytes, item.start, item.end);
      else if (item.kind === "branch") this.#writeBranch(item);
      else {
        if (item === targets[next]) {
          out.byte(Op.end);
          this.#open[level]!--;
          next++;
        }
        if (item.kind === "call") this.#writeCall(item);
        else this.#writeBlock(item);
      }
    }
    this.#open.pop();
  }

  /** Opens a block for each target of a body, and jumps to the end of one of them if the stack rewinds. */
  #writeJumps({ targets, params }: Body): void {
    const out = this.#out;
    for (const target of targets.toReversed()) {
      out.byte(Op.block);
      this.#writeBlockType(params, operandsOf(target));
    }
    this.#localGet(this.#siteLocal);
    out.raw([Op.if, Type.empty]);
    targets.forEach((target, i) => {
      this.#isAtMost(target.lastSite);
      out.raw([Op.if, Type.empty]);
      if (target.kind === "call") {
        out.raw(ZERO[Type.i32]!);
        this.#localSet(this.#siteLocal);
        let at = this.#underBase;
        for (const type of target.under) {
          this.#load(type, at);
          at += SIZE[type]!;
        }
        // A function that rewinds ignores its parameters.
        for (const type of target.params) out.raw(ZERO[type]!);
        if (target.callee === undefined) this.#localGet(this.#indexLocal);
      } else {
        for (const local of target.spills) this.#localGet(local);
        for (const type of target.params) out.raw(ZERO[type]!);
        if (target.op === Op.if) this.#isAtMost(target.bodies[0]!.lastSite);
      }
      out
        .byte(Op.br)
        .unsigned(2 + i)
        .byte(Op.end);
    });
    out.raw([Op.unreachable, Op.end]);
  }

  /** Whether the site to go to is one of those up to `last`. */
  #isAtMost(last: number): void {
    this.#localGet(this.#siteLocal);
    this.#out.byte(Op.i32Const).signed(last).byte(Op.i32LeU);
  }

  #writeBranch({ op, labels }: Branch): void {
    const out = this.#out;
    out.byte(op);
    if (op === Op.brTable) out.unsigned(labels.length - 1);
    for (const label of labels) out.unsigned(this.#depthOf(label));
  }

  /** The label of the frame `label` frames out, counting what is open in between. */
  #depthOf(label: number): number {
    const open = this.#open;
    const to = open.length - 1 - label;
    let depth = open[to]!;
    for (let frame = open.length - 1; frame > to; frame--) depth += 1 + open[frame]!;
    return depth;
  }

  #writeBlock(block: Block): void {
    const out = this.#out;
    const { op, params, results, under, bodies, lastSite } = block;
    if (lastSite > 0 && under.length > 0) this.#keepOperands(block);
    out.byte(op);
    this.#writeBlockType(params, results);
    bodies.forEach((body, i) => {
      if (i === 1) out.byte(Op.else);
      this.#writeBody(body);
    });
    out.byte(Op.end);
  }

  /** Copies what lies below a block into locals: it cannot be reached from inside. */
  #keepOperands({ op, params, spills }: Block): void {
    const above = [...params, ...(op === Op.if ? [Type.i32] : [])];
    // There is one temporary of each type: several parameters would need more.
    if (new Set(above).size < above.length) uncapturable("a block with parameters above operands");
    for (const type of above.toReversed()) this.#localSet(this.#temporaries.get(type)!);
    for (const local of spills.toReversed()) this.#localSet(local);
    for (const local of spills) this.#localGet(local);
    for (const type of above) this.#localGet(this.#temporaries.get(type)!);
  }

  #writeCall({ start, end, callee, under, results, site }: Call): void {
    const out = this.#out;
    const asks = callee === this.#more;
    if (callee === undefined) out.byte(Op.localTee).unsigned(this.#indexLocal);
    if (asks) this.#setHere(1);
    out.copy(this.#metered.bytes, start, end);
    if (asks) this.#setHere(0);
    this.#globalGet(this.#globals.state);
    out.byte(Op.if);
    const operands = [...under, ...results];
    this.#writeBlockType(operands, operands);
    for (let n = results.length; n > 0; n--) out.byte(Op.drop);
    let at = this.#underBase + sizeOf(under);
    for (const type of under.toReversed()) {
      const temporary = this.#temporaries.get(type)!;
      this.#localSet(temporary);
      at -= SIZE[type]!;
      this.#store(type, at, temporary);
    }
    out.byte(Op.i32Const).signed(site);
    this.#localSet(this.#siteLocal);
    // Out of this `if`, past the label of the function's own body.
    out.byte(Op.br).unsigned(this.#depthOf(this.#open.length - 1) + 2);
    out.byte(Op.end);
  }

  #setHere(value: number): void {
    this.#out.raw([Op.i32Const, value, Op.globalSet]).unsigned(this.#globals.here);
  }

  #globalGet(index: number): void {
    this.#out.byte(Op.globalGet).unsigned(index);
  }

  #localGet(index: number): void {
    this.#out.byte(Op.localGet).unsigned(index);
  }

  #localSet(index: number): void {
    this.#out.byte(Op.localSet).unsigned(index);
  }

  #movePointer(by: number): void {
    const { pointer } = this.#globals;
    this.#globalGet(pointer);
    this.#out.byte(Op.i32Const).signed(by).byte(Op.i32Add).byte(Op.globalSet).unsigned(pointer);
  }

  /** Loads what the frame keeps at an offset. */
  #load(type: number, offset: number): void {
    this.#globalGet(this.#globals.pointer);
    this.#out.raw(LOAD[type]!).byte(0).unsigned(offset);
  }

  #store(type: number, offset: number, local: number): void {
    this.#globalGet(this.#globals.pointer);
    this.#localGet(local);
    this.#out.raw(STORE[type]!).byte(0).unsigned(offset);
  }

  #writeBlockType(params: Types, results: Types): void {
    if (params.length > 0 || results.length > 1) this.#out.signed(this.#types.indexOf(params, results));
    else this.#out.byte(results[0] ?? Type.empty);
  }
}

/** Gives locals to the operands below blocks that hold sites. @returns their bytes */
function assignSpills(body: Body, kept: number[]): number {
  let bytes = 0;
  for (const target of body.targets) {
    if (target.kind !== "block") continue;
    target.spills = target.under.map((type) => kept.push(type) - 1);
    bytes += sizeOf(target.under);
    for (const inside of target.bodies) bytes += assignSpills(inside, kept);
  }
  return bytes;
}

/** Bytes of the operands below a call, at most. */
function largestUnder({ targets }: Body): number {
  let most = 0;
  for (const target of targets) {
    const bytes = target.kind === "call" ? sizeOf(target.under) : Math.max(...target.bodies.map(largestUnder));
    most = Math.max(most, bytes);
  }
  return most;
}
