/**
 * One pass over a function's body, in one long file because it is one hot loop: what the body costs, and where the
 * meter has to write something.
 *
 * The result is a list of events in the order of their position, which `emit.ts` merges with the original bytes.
 *
 * **Slots.** Fuel is charged once for each stretch of code that runs as a whole: a slot. Each control frame has the
 * slot that its code currently adds to. A `block` continues its parent's; `loop`, `if`, `else` and `catch` open one.
 * Where control may leave the straight line (branches, and calls, which may end in an exception or an exit) the slot is
 * closed, a new one is opened, and `lowest`, the outermost frame to which control may have gone, is noted. At a frame's
 * `end` the parent's slot continues if nothing went further out than that frame: then whatever ran the code before the
 * frame also runs the code after it. Otherwise the parent opens a new one.
 */
import { CORE, EIGHT, FOUR, GC, LEB, MEMARG, MISC, NONE, SIMD, SPECIAL, UNKNOWN } from "../wasm/instructions.ts";
import { endOf, unsignedAt } from "../wasm/leb128.ts";
import { malformed, unknown, wrongLength } from "../wasm/malformed.ts";
import type { Module } from "../wasm/module.ts";
import * as Op from "../wasm/opcode.ts";
import { Reader } from "../wasm/reader.ts";
import * as Type from "../wasm/type.ts";
import { skipValueType } from "../wasm/value-type.ts";
import { COSTS, GC_BULK, MISC_BULK, SIMD_BULK } from "./costs.ts";
import * as Event from "./event.ts";
import { CALL_FREE, CAUGHT_AT_HEADER, LEVELS, PLAIN } from "./event.ts";
import { MODULE_LIMITS } from "./limits.ts";
import { CORE_NAN, GC_NAN, MISC_NAN, SIMD_NAN } from "./nan.ts";
import { refuseFeature } from "./refuse.ts";

/** Levels of call-free loops, from the innermost, for which to find the locals to save. It keeps this linear. */
const SAVED_LEVELS = 3;
/** Locals of one type that are saved for one loop: about as many as engines have registers. */
const SAVED_LOCALS = 16;

/** Kinds of control frames. */
const BLOCK = 0;
const LOOP = 1;
const IF = 2;
const ELSE = 3;
const TRY = 4;
const CATCH = 5;
const KIND = 7;
/** Flags besides the kind: entered by code that is never run; an exception may be caught at its end. */
const DEAD = 8;
const CAUGHT = 16;

/** Fields of a control frame. */
const SLOT = 0;
const LOWEST = 1;
const FLAGS = 2;
const HEIGHT = 3;
const PARAMS = 4;
const RESULTS = 5;
/** The event of the innermost loop around, or -1; that loop's frame; and where its part of `touched` begins. */
const LOOP_EVENT = 6;
const LOOP_FRAME = 7;
const TOUCHED = 8;
const FIELDS = 9;

/** The slot of code that is never run. */
const NEVER = 0;
/** The slot of a function's first instructions. */
export const FIRST_SLOT = 1;

/** By prefix, from `gcPrefix` on. */
const PREFIXED = [
  { set: GC, bulk: GC_BULK, treatment: GC_NAN },
  { set: MISC, bulk: MISC_BULK, treatment: MISC_NAN },
  { set: SIMD, bulk: SIMD_BULK, treatment: SIMD_NAN },
] as const;

export class FunctionScan {
  readonly #module: Module;
  readonly #nan: boolean;
  readonly #saves: boolean;
  #frames: number[] = [];
  /** Results on the stack that are canonicalised unless what takes them absorbs NaNs: their heights and events. */
  #pendingHeights: number[] = [];
  #pendingEvents: number[] = [];
  #pending = 0;

  kinds: number[] = [];
  starts: number[] = [];
  ends: number[] = [];
  a: number[] = [];
  b: number[] = [];
  c: number[] = [];
  events = 0;

  /**
   * For each call-free loop whose event's `c` is not 0, from that index: how many locals it reads before it writes
   * them, then those locals.
   */
  savedLocals: number[] = [];
  #saved = 0;
  /** Accesses to locals in the current call-free loops: the index, or its complement where the access writes. */
  #touched: number[] = [];
  #touches = 0;
  /** By local: the number of the last loop that was found to touch it. */
  #marks = new Int32Array(256);
  #mark = 0;
  /** Groups of locals, parameters first: where each ends, and its type's first byte. */
  readonly #groupEnds: number[] = [];
  readonly #groupTypes: number[] = [];

  costs: number[] = [];
  slots = 0;

  /** Where the count of local groups is, where the groups begin, and where the instructions begin. */
  localsAt = 0;
  groupsAt = 0;
  codeAt = 0;
  localGroups = 0;
  /** Parameters included. */
  localCount = 0;
  localWords = 0;
  hasLoop = false;
  hasCall = false;
  hasTry = false;
  usesV128 = false;
  /** The floating-point types to canonicalise, as a set. */
  floats = 0;
  maxHeight = 0;

  #value = 0;
  #blockParams = 0;
  #blockResults = 0;

  /** @param saves whether to find the locals that loops use */
  constructor(module: Module, nan: boolean, saves: boolean) {
    this.#module = module;
    this.#nan = nan;
    this.#saves = saves;
  }

  /** Reads function `index`, whose body (from the count of local groups on) is the bytes from `start` to `end`. */
  scan(index: number, start: number, end: number): void {
    const { bytes, functions, types } = this.#module;
    this.#readLocals(index, start, end);
    this.events = 0;
    this.slots = 0;
    this.#pending = 0;
    this.#saved = 1;
    this.#touches = 0;
    this.hasLoop = this.hasCall = this.hasTry = this.usesV128 = false;
    this.floats = 0;
    this.#newSlot(); // NEVER
    this.#newSlot(); // FIRST_SLOT

    const { immediate: IMMEDIATE, pops: POPS, pushes: PUSHES } = CORE;
    const { makes: MAKES_NAN, absorbs: ABSORBS_NAN } = CORE_NAN;
    const frames = this.#frames;
    let k = 0;
    let f = 0;
    frames[SLOT] = FIRST_SLOT;
    frames[LOWEST] = 0;
    frames[FLAGS] = BLOCK;
    frames[HEIGHT] = 0;
    frames[PARAMS] = 0;
    frames[RESULTS] = types[functions[index]!]!.resultCount;
    frames[LOOP_EVENT] = -1;
    frames[LOOP_FRAME] = 0;
    let slot = FIRST_SLOT;
    /** What to add to `slot`. */
    let cost = 1; // of the entry
    let height = 0;
    let maxHeight = frames[RESULTS]!;
    let dead = false;
    let pos = this.codeAt;

    for (;;) {
      const at = pos;
      if (pos >= end) wrongLength(at);
      const op = bytes[pos++]!;
      const immediate = IMMEDIATE[op]!;
      if (immediate < SPECIAL) {
        if (immediate === LEB) {
          if (op >= Op.localGet && op <= Op.localTee && frames[f + LOOP_EVENT]! >= 0) {
            pos = this.#leb(pos);
            this.#touch(op === Op.localGet ? this.#value : ~this.#value, frames[f + LOOP_EVENT]!);
          } else {
            if (op === Op.memoryGrow) this.#calls(frames[f + LOOP_EVENT]!);
            pos = endOf(bytes, pos);
          }
        } else if (immediate === MEMARG) pos = this.#skipMemarg(pos);
        else if (immediate === FOUR) pos += 4;
        else if (immediate === EIGHT) pos += 8;
        cost += COSTS[op]!;
        height -= POPS[op]!;
        if (this.#pending > 0) this.#settle(height, ABSORBS_NAN[op]!);
        const nan = MAKES_NAN[op]!;
        if (nan > 0 && this.#nan && !dead) this.#makeNan(height, nan - 1, pos);
        height += PUSHES[op]!;
        if (height > maxHeight) maxHeight = height;
        continue;
      }

      switch (op) {
        case Op.block:
        case Op.loop:
        case Op.if:
        case Op.try:
        case Op.tryTable: {
          pos = this.#blockType(pos);
          if (op === Op.if) height--;
          if (op !== Op.block && op !== Op.loop) cost++;
          this.#settle(-1, 0);
          if (k >= MODULE_LIMITS.nesting) {
            malformed(`function ${index} has blocks more than ${MODULE_LIMITS.nesting} deep`, at);
          }
          k++;
          f += FIELDS;
          frames[f + LOWEST] = k;
          frames[f + FLAGS] = dead ? DEAD : 0;
          frames[f + HEIGHT] = height - this.#blockParams;
          frames[f + PARAMS] = this.#blockParams;
          frames[f + RESULTS] = this.#blockResults;
          frames[f + LOOP_EVENT] = frames[f - FIELDS + LOOP_EVENT]!;
          frames[f + LOOP_FRAME] = frames[f - FIELDS + LOOP_FRAME]!;
          if (op === Op.loop) {
            frames[f + FLAGS]! |= LOOP;
            if (frames[f + LOOP_EVENT]! >= 0) this.b[frames[f + LOOP_EVENT]!]! &= ~PLAIN;
            frames[f + LOOP_FRAME] = k;
            frames[f + LOOP_EVENT] = -1;
            if (!dead) {
              this.hasLoop = true;
              this.costs[slot]! += cost;
              cost = 0;
              slot = this.#newSlot();
              frames[f + LOOP_EVENT] = this.events;
              frames[f + TOUCHED] = this.#touches;
              this.#push(Event.loop, at, pos, slot, CALL_FREE | (this.#blockParams === 0 ? PLAIN : 0));
            }
          } else if (op === Op.if) {
            frames[f + FLAGS]! |= IF;
            if (!dead) {
              this.costs[slot]! += cost;
              cost = 0;
              slot = this.#openSlot(pos);
            }
          } else if (op === Op.try) {
            frames[f + FLAGS]! |= TRY;
            this.hasTry = true;
          } else if (op === Op.tryTable) {
            this.hasTry = true;
            pos = this.#readCatches(pos, end, k, dead);
          }
          frames[f + SLOT] = slot;
          break;
        }

        case Op.else:
        case Op.catch:
        case Op.catchAll: {
          if (k === 0) wrongLength(at);
          let operands = frames[f + PARAMS]!;
          if (op === Op.catch) {
            pos = this.#leb(pos);
            const type = types[this.#module.tags[this.#value]!]!;
            operands = type.paramCount;
            this.usesV128 ||= type.hasV128;
          } else if (op === Op.catchAll) operands = 0;
          this.#settle(-1, 0);
          height = frames[f + HEIGHT]! + operands;
          if (height > maxHeight) maxHeight = height;
          this.costs[slot]! += cost;
          cost = 0;
          dead = (frames[f + FLAGS]! & DEAD) !== 0;
          frames[f + FLAGS] = (frames[f + FLAGS]! & ~KIND) | (op === Op.else ? ELSE : CATCH);
          if (dead) break;
          if (op !== Op.else) this.#push(Event.caught, pos, pos, 0, 0);
          slot = this.#openSlot(pos);
          frames[f + SLOT] = slot;
          if (op !== Op.else) cost = 1;
          break;
        }

        case Op.delegate:
        case Op.end: {
          if (op === Op.delegate) pos = this.#leb(pos);
          this.#settle(-1, 0);
          this.costs[slot]! += cost;
          cost = 0;
          if (k === 0) {
            if (pos !== end) wrongLength(pos);
            this.maxHeight = maxHeight;
            return;
          }
          const flags = frames[f + FLAGS]!;
          const kind = flags & KIND;
          const lowest = frames[f + LOWEST]!;
          const loop = frames[f + LOOP_EVENT]!;
          height = frames[f + HEIGHT]! + frames[f + RESULTS]!;
          if (height > maxHeight) maxHeight = height;
          dead = (flags & DEAD) !== 0;
          const split = lowest < k || kind >= TRY;
          k--;
          f -= FIELDS;
          if (lowest < frames[f + LOWEST]!) frames[f + LOWEST] = lowest;
          if (dead) break;
          if (kind === LOOP) {
            this.#push(Event.loopEnd, at, at, loop, 0);
            this.#endLoop(loop, frames[f + LOOP_EVENT]!, frames[f + FIELDS + TOUCHED]!);
          }
          if (flags & CAUGHT) this.#push(Event.caught, pos, pos, 0, 0);
          if (split) frames[f + SLOT] = this.#openSlot(pos);
          slot = frames[f + SLOT]!;
          break;
        }

        case Op.br:
        case Op.brIf:
        case Op.brOnNull:
        case Op.brOnNonNull: {
          const label = pos;
          pos = this.#leb(pos);
          cost++;
          // A condition or a reference is taken from the stack; br_on_null leaves a reference that is not null.
          if (op === Op.brIf || op === Op.brOnNonNull) height--;
          this.#settle(-1, 0);
          this.#branch(label, pos, this.#value, k, dead);
          if (dead) break;
          this.costs[slot]! += cost;
          cost = 0;
          if (op === Op.br) {
            dead = true;
            slot = NEVER;
          } else {
            slot = this.#openSlot(pos);
            frames[f + SLOT] = slot;
          }
          break;
        }

        case Op.brTable: {
          const labels = pos;
          pos = this.#leb(pos);
          const count = this.#value;
          if (count >= end - pos) wrongLength(at);
          let furthest = 0;
          for (let n = count + 1; n > 0; n--) {
            pos = this.#leb(pos);
            if (this.#value > furthest) furthest = this.#value;
          }
          height--;
          this.#settle(-1, 0);
          const inside = k - frames[f + LOOP_FRAME]!;
          if (frames[f + LOOP_EVENT]! >= 0 && furthest > inside) {
            this.#push(Event.labels, labels, pos, inside, frames[f + LOOP_EVENT]!);
          }
          if (dead) break;
          if (k - furthest < frames[f + LOWEST]!) frames[f + LOWEST] = k - furthest;
          this.costs[slot]! += cost + 1;
          cost = 0;
          dead = true;
          slot = NEVER;
          break;
        }

        case Op.unreachable:
        case Op.throw:
        case Op.rethrow:
        case Op.throwRef:
        case Op.return:
        case Op.returnCall:
        case Op.returnCallIndirect:
        case Op.returnCallRef: {
          cost += COSTS[op]!;
          if (op === Op.throw || op === Op.rethrow || (op >= Op.returnCall && op <= Op.returnCallRef))
            pos = this.#leb(pos);
          if (op === Op.returnCallIndirect) pos = this.#leb(pos);
          this.#settle(-1, 0);
          if (op === Op.return) this.#push(Event.return, at, pos, k, frames[f + LOOP_EVENT]!);
          if (dead) break;
          if (op >= Op.returnCall) {
            this.#push(Event.tailCall, at, at, 0, 0);
            this.hasCall = true;
            this.#calls(frames[f + LOOP_EVENT]!);
          } else if (op !== Op.return) this.#push(Event.leave, at, at, 0, 0);
          frames[f + LOWEST] = 0;
          this.costs[slot]! += cost;
          cost = 0;
          dead = true;
          slot = NEVER;
          break;
        }

        case Op.call:
        case Op.callIndirect:
        case Op.callRef: {
          pos = this.#leb(pos);
          const type = types[op === Op.call ? functions[this.#value]! : this.#value]!;
          if (op === Op.callIndirect) pos = this.#leb(pos);
          cost++;
          height -= type.paramCount + (op === Op.call ? 0 : 1);
          this.#settle(height, 0);
          height += type.resultCount;
          if (height > maxHeight) maxHeight = height;
          if (type.hasV128) this.usesV128 = true;
          if (dead) break;
          this.hasCall = true;
          this.#calls(frames[f + LOOP_EVENT]!);
          frames[f + LOWEST] = 0;
          this.costs[slot]! += cost;
          cost = 0;
          slot = this.#newSlot();
          frames[f + SLOT] = slot;
          this.#push(Event.call, at, pos, slot, 0);
          break;
        }

        case Op.selectTyped: {
          pos = this.#leb(pos);
          const reader = new Reader(bytes, pos, end);
          for (let n = this.#value; n > 0; n--) if (skipValueType(reader)) this.usesV128 = true;
          pos = reader.pos;
          cost++;
          height -= 3;
          this.#settle(height, 0);
          height++;
          break;
        }

        case Op.gcPrefix:
        case Op.miscPrefix:
        case Op.simdPrefix: {
          const { set, bulk, treatment } = PREFIXED[op - Op.gcPrefix]!;
          pos = this.#leb(pos);
          const sub = this.#value;
          if (op === Op.simdPrefix && sub >= Op.firstRelaxed && sub <= Op.lastRelaxed)
            refuseFeature(`relaxed SIMD in function ${index}`, at);
          if (sub > 255 || set.immediate[sub] === UNKNOWN) {
            unknown(`function ${index}: instruction 0x${op.toString(16)}`, sub, at);
          }
          const immediate = set.immediate[sub]!;
          let taken = set.pops[sub]!;
          if (op === Op.simdPrefix) {
            if (immediate === MEMARG) pos = this.#skipMemarg(pos);
            pos += set.trailing[sub]!;
            this.usesV128 = true;
          } else if (op === Op.gcPrefix && (sub === Op.brOnCast || sub === Op.brOnCastFail)) {
            // br_on_cast, br_on_cast_fail: flags, label, two heap types
            const label = pos + 1;
            pos = this.#leb(label);
            const after = pos;
            pos = endOf(bytes, endOf(bytes, after));
            cost++;
            this.#settle(-1, 0);
            this.#branch(label, after, this.#value, k, dead);
            if (dead) break;
            this.costs[slot]! += cost;
            cost = 0;
            slot = this.#openSlot(pos);
            frames[f + SLOT] = slot;
            break;
          } else if (immediate !== NONE) {
            pos = this.#leb(pos);
            const first = this.#value;
            if (op === Op.gcPrefix && sub === Op.structNew) taken = this.#module.structFields[first]!;
            else if (immediate === SPECIAL) pos = this.#leb(pos);
            if (op === Op.gcPrefix && sub === Op.arrayNewFixed) taken = this.#value;
            if (bulk[sub] && !dead) {
              const isLong = op === Op.miscPrefix && this.#hasLongLength(sub, first, this.#value);
              this.#push(Event.bulk, at, at, isLong ? 1 : 0, 0);
              this.#calls(frames[f + LOOP_EVENT]!);
            }
          }
          cost++;
          height -= taken;
          this.#settle(height, treatment.absorbs[sub]!);
          const nan = treatment.makes[sub]!;
          if (nan > 0 && this.#nan && !dead) this.#makeNan(height, nan - 1, pos);
          height += set.pushes[sub]!;
          if (height > maxHeight) maxHeight = height;
          break;
        }

        case Op.atomicPrefix:
          refuseFeature(`an atomic instruction (threads) in function ${index}`, at);
          break;
        default:
          unknown(`function ${index}: instruction`, op, at);
      }
    }
  }

  #readLocals(index: number, start: number, end: number): void {
    const type = this.#module.types[this.#module.functions[index]!] ?? wrongLength(start);
    const reader = new Reader(this.#module.bytes, start, end);
    this.localsAt = start;
    this.localGroups = reader.count();
    this.groupsAt = reader.pos;
    this.localCount = 0;
    this.localWords = type.paramWords;
    this.#groupEnds.length = this.#groupTypes.length = 0;
    const params = new Reader(this.#module.bytes, type.params, type.results);
    for (let n = params.count(); n > 0; n--) {
      this.#addGroup(1, params.peek());
      skipValueType(params);
    }
    for (let n = this.localGroups; n > 0; n--) {
      const count = reader.u32();
      this.#addGroup(count, reader.peek());
      this.localWords += skipValueType(reader) ? count * 2 : count;
    }
    if (this.localCount > MODULE_LIMITS.locals) {
      malformed(`function ${index} has ${this.localCount} locals; the limit is ${MODULE_LIMITS.locals}`, start);
    }
    this.codeAt = reader.pos;
  }

  #addGroup(count: number, type: number): void {
    this.localCount += count;
    const last = this.#groupEnds.length - 1;
    if (last >= 0 && this.#groupTypes[last] === type) this.#groupEnds[last] = this.localCount;
    else {
      this.#groupEnds.push(this.localCount);
      this.#groupTypes.push(type);
    }
  }

  /** Reads an unsigned integer into `value`. @returns the position after it */
  #leb(pos: number): number {
    const { bytes } = this.#module;
    this.#value = unsignedAt(bytes, pos);
    return endOf(bytes, pos);
  }

  #skipMemarg(at: number): number {
    const { bytes } = this.#module;
    // Bit 6 of the alignment says that a memory's index follows it.
    const after = endOf(bytes, at);
    return endOf(bytes, bytes[at]! & 0x40 ? endOf(bytes, after) : after);
  }

  /** Reads a block type into `blockParams` and `blockResults`. @returns the position after it */
  #blockType(pos: number): number {
    const { bytes, types } = this.#module;
    const byte = bytes[pos]!;
    this.#blockParams = 0;
    this.#blockResults = 0;
    if (byte === Type.empty) return pos + 1;
    // A negative one-byte integer is a value type; a non-negative one, of any length, a type's index.
    if (byte < 0x80 && byte >= Type.empty) {
      this.#blockResults = 1;
      if (byte === Type.v128) this.usesV128 = true;
      if (byte !== Type.refNull && byte !== Type.ref) return pos + 1;
      return endOf(bytes, pos + 1);
    }
    const next = this.#leb(pos);
    const type = types[this.#value] ?? wrongLength(pos);
    this.#blockParams = type.paramCount;
    this.#blockResults = type.resultCount;
    if (type.hasV128) this.usesV128 = true;
    return next;
  }

  /** The catch clauses of the try_table whose frame is `k`: each may branch from anywhere inside. */
  #readCatches(at: number, end: number, k: number, dead: boolean): number {
    const frames = this.#frames;
    let pos = this.#leb(at);
    if (this.#value > end - pos) wrongLength(at);
    for (let n = this.#value; n > 0; n--) {
      const kind = this.#module.bytes[pos++]!;
      if (kind > 3) unknown("catch clause", kind, pos - 1);
      if (kind < 2) pos = this.#leb(pos); // tag
      pos = this.#leb(pos);
      if (dead) continue;
      // Labels are counted from outside the try_table.
      const target = k - 1 - this.#value;
      if (target < frames[k * FIELDS + LOWEST]!) frames[k * FIELDS + LOWEST] = target;
      if (target <= 0) continue;
      const flags = frames[target * FIELDS + FLAGS]!;
      if ((flags & KIND) === LOOP) this.b[frames[target * FIELDS + LOOP_EVENT]!]! |= CAUGHT_AT_HEADER;
      else frames[target * FIELDS + FLAGS] = flags | CAUGHT;
    }
    return pos;
  }

  /** A branch from frame `k` to `label`, whose bytes are from `start` to `end`. */
  #branch(start: number, end: number, label: number, k: number, dead: boolean): void {
    const frames = this.#frames;
    const f = k * FIELDS;
    const target = k - label;
    if (frames[f + LOOP_EVENT]! >= 0 && target < frames[f + LOOP_FRAME]!) {
      this.#push(Event.label, start, end, label, frames[f + LOOP_EVENT]!);
    }
    if (!dead && target < frames[f + LOWEST]!) frames[f + LOWEST] = target;
  }

  /** Whether the length of a bulk instruction is an i64: whether all that it touches is addressed by i64. */
  #hasLongLength(sub: number, first: number, second: number): boolean {
    const { memories, tables } = this.#module;
    if (sub === Op.memoryCopy) return memories[first]!.is64 && memories[second]!.is64;
    if (sub === Op.memoryFill) return memories[first]!.is64;
    if (sub === Op.tableCopy) return tables[first]!.is64 && tables[second]!.is64;
    if (sub === Op.tableGrow || sub === Op.tableFill) return tables[first]!.is64;
    return false;
  }

  /** Something in `loop` calls. */
  #calls(loop: number): void {
    if (loop >= 0) this.b[loop]! &= ~(CALL_FREE | PLAIN);
  }

  #touch(access: number, loop: number): void {
    if (this.#saves && this.b[loop]! & CALL_FREE) this.#touched[this.#touches++] = access;
  }

  /** The end of `loop`, which is in `outer` (-1 for none) and whose accesses to locals begin at `first`. */
  #endLoop(loop: number, outer: number, first: number): void {
    const flags = this.b[loop]!;
    if (!(flags & CALL_FREE)) {
      this.#calls(outer);
      return;
    }
    if (!this.#saves) return;
    const inside = flags >> LEVELS;
    if (inside < SAVED_LEVELS) this.c[loop] = this.#findSaved(first);
    if (outer < 0) {
      this.#touches = 0;
      return;
    }
    const others = this.b[outer]! & ((1 << LEVELS) - 1);
    this.b[outer] = others | (Math.max(inside + 1, this.b[outer]! >> LEVELS) << LEVELS);
  }

  /** Lists the locals that were read before they were written since access `first`. @returns where the list begins */
  #findSaved(first: number): number {
    if (this.#marks.length < this.localCount) this.#marks = new Int32Array(this.localCount * 2);
    const mark = ++this.#mark;
    const counts = [0, 0, 0, 0, 0];
    const start = this.#saved++;
    for (let n = first; n < this.#touches; n++) {
      const access = this.#touched[n]!;
      const local = access < 0 ? ~access : access;
      if (this.#marks[local] === mark) continue;
      this.#marks[local] = mark;
      if (access < 0) continue;
      const type = Type.i32 - this.localType(local);
      if (type > 4 || counts[type]! >= SAVED_LOCALS) continue;
      counts[type]!++;
      this.savedLocals[this.#saved++] = local;
    }
    this.savedLocals[start] = this.#saved - start - 1;
    return start;
  }

  /** The first byte of a local's type. */
  localType(local: number): number {
    let low = 0;
    let high = this.#groupEnds.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (local < this.#groupEnds[middle]!) high = middle;
      else low = middle + 1;
    }
    return this.#groupTypes[low]!;
  }

  #newSlot(): number {
    this.costs[this.slots] = 0;
    return this.slots++;
  }

  /** A new slot for the code from `pos` on. */
  #openSlot(pos: number): number {
    const slot = this.#newSlot();
    this.#push(Event.charge, pos, pos, slot, 0);
    return slot;
  }

  #push(kind: number, start: number, end: number, a: number, b: number): void {
    const n = this.events++;
    this.kinds[n] = kind;
    this.starts[n] = start;
    this.ends[n] = end;
    this.a[n] = a;
    this.b[n] = b;
    this.c[n] = 0;
  }

  /** The instruction that ends at `pos` leaves a result at `height` whose NaN bits the engine chooses. */
  #makeNan(height: number, type: number, pos: number): void {
    this.#pendingHeights[this.#pending] = height;
    this.#pendingEvents[this.#pending++] = this.events;
    this.floats |= 1 << type;
    this.#push(Event.nan, pos, pos, type, 0);
  }

  /** An instruction takes the operands from `height` up, and absorbs the NaNs of the types in `absorbed`. */
  #settle(height: number, absorbed: number): void {
    while (this.#pending > 0 && this.#pendingHeights[this.#pending - 1]! >= height) {
      const event = this.#pendingEvents[--this.#pending]!;
      if (absorbed & (1 << this.a[event]!)) this.kinds[event] = Event.none;
    }
  }
}
