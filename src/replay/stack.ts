/**
 * Makes the call stack of a metered command capturable. JavaScript cannot read a WebAssembly stack: so the guest's own
 * functions write their frames into its memory and return, one after the other (unwinding), and later take them back and
 * go on where they were (rewinding). Only for replays: it costs time and code, and nothing of it shows to the guest.
 *
 * **Where.** At a check of the meter, when the host is asked for more fuel: no system call is at work there. Functions
 * that do nothing but count are left as they are; while one of those asks, `here` is 0, and the host must not unwind.
 *
 * **How.** A `site` is a call that may be on the stack then. After it, a function looks whether the stack unwinds: if so,
 * it stores operands, locals and the site's number at the `pointer`, and returns. On entry it looks whether the stack
 * rewinds: if so, it loads them, jumps to the site, and calls again. To be able to jump there, each body that holds sites,
 * or blocks with sites, opens one block for each of them where it begins, and closes it in front of it.
 *
 * The memory below the frames is the guest's: the host has it saved, and puts it back before the guest goes on.
 */

import { REFILL_EXPORT } from "../meter/index.ts";
import { Allocations, skipConstant } from "../wasm/constant.ts";
import { CORE, EIGHT, FOUR, LEB, MEMARG, MISC, NONE, SIMD, SPECIAL, UNKNOWN } from "../wasm/instructions.ts";
import { type Module, readModule } from "../wasm/module.ts";
import { Reader } from "../wasm/reader.ts";
import * as Section from "../wasm/section.ts";
import { f32, f64, i32, i64, v128 } from "../wasm/type.ts";
import { Writer } from "../wasm/writer.ts";

/** Names of exports that are added: three globals and two functions. */
export const STATE_EXPORT = "vak:stack-state";
export const POINTER_EXPORT = "vak:stack-pointer";
export const HERE_EXPORT = "vak:stack-here";
export const SAVE_EXPORT = "vak:save-globals";
export const LOAD_EXPORT = "vak:load-globals";

/** Values of the state. */
export const RUNNING = 0;
export const UNWINDING = 1;
export const REWINDING = 2;

export interface Capturable {
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes that {@link SAVE_EXPORT} writes at address 0, and {@link LOAD_EXPORT} reads there: the mutable globals. */
  globalBytes: number;
  /** Bytes that a frame may take besides 8 for each word that the meter counts for it. */
  frameExtra: number;
}

/** What cannot be captured: then there are no checkpoints within a run. */
class Uncapturable extends Error {}

const uncapturable = (what: string): never => {
  throw new Uncapturable(what);
};

/** Bytes of what the meter and this add to a frame at most: counters, NaNs, the index of a call, the site's number. */
const ADDED_LOCAL_BYTES = 72;

/** Functions that the meter appends. */
const METER_FUNCTIONS = 7;

type Types = readonly number[];

const NONE_BELOW: Types = [];

const SIZE: Record<number, number> = { [i32]: 4, [i64]: 8, [f32]: 4, [f64]: 8, [v128]: 16 };
const LOAD: Record<number, number[]> = {
  [i32]: [0x28],
  [i64]: [0x29],
  [f32]: [0x2a],
  [f64]: [0x2b],
  [v128]: [0xfd, 0],
};
const STORE: Record<number, number[]> = {
  [i32]: [0x36],
  [i64]: [0x37],
  [f32]: [0x38],
  [f64]: [0x39],
  [v128]: [0xfd, 11],
};
const ZERO: Record<number, number[]> = {
  [i32]: [0x41, 0],
  [i64]: [0x42, 0],
  [f32]: [0x43, 0, 0, 0, 0],
  [f64]: [0x44, 0, 0, 0, 0, 0, 0, 0, 0],
  [v128]: [0xfd, 0x0c, ...Array<number>(16).fill(0)],
};

const sizeOf = (types: Types): number => types.reduce((sum, type) => sum + SIZE[type]!, 0);

/** Of each core instruction with one result, that result's type. */
const RESULT = new Uint8Array(256);
for (const [first, last, type] of [
  [0x28, 0x28, i32],
  [0x29, 0x29, i64],
  [0x2a, 0x2a, f32],
  [0x2b, 0x2b, f64],
  [0x2c, 0x2f, i32],
  [0x30, 0x35, i64],
  [0x3f, 0x41, i32],
  [0x42, 0x42, i64],
  [0x43, 0x43, f32],
  [0x44, 0x44, f64],
  [0x45, 0x78, i32],
  [0x79, 0x8a, i64],
  [0x8b, 0x98, f32],
  [0x99, 0xa6, f64],
  [0xa7, 0xab, i32],
  [0xac, 0xb1, i64],
  [0xb2, 0xb6, f32],
  [0xb7, 0xbb, f64],
  [0xbc, 0xbc, i32],
  [0xbd, 0xbd, i64],
  [0xbe, 0xbe, f32],
  [0xbf, 0xbf, f64],
  [0xc0, 0xc1, i32],
  [0xc2, 0xc4, i64],
] as const) {
  RESULT.fill(type, first, last + 1);
}
/** Vector instructions whose result is no vector. */
const LANES: Record<number, number> = { 29: i64, 31: f32, 33: f64 };
for (const op of [0x15, 0x16, 0x18, 0x19, 0x1b, 0x53, 0x63, 0x64, 0x83, 0x84, 0xa3, 0xa4, 0xc3, 0xc4]) LANES[op] = i32;

const BLOCK = 0x02;
const LOOP = 0x03;
const IF = 0x04;
const EMPTY = 0x40;

interface Body {
  params: Types;
  items: Item[];
  /** Those of the items through which control gets back to where it was. */
  targets: Target[];
  /** The number of its last site. */
  lastSite: number;
}

interface Raw {
  kind: "raw";
  start: number;
  end: number;
}

interface Branch {
  kind: "branch";
  op: number;
  labels: number[];
}

interface Block {
  kind: "block";
  op: number;
  params: Types;
  results: Types;
  /** Operands below its parameters, from where the body around it begins. */
  under: Types;
  bodies: Body[];
  lastSite: number;
  /** The locals in which `under` is kept. */
  spills: number[];
}

interface Call {
  kind: "call";
  start: number;
  end: number;
  /** The function that is called; undefined of an indirect call. */
  callee: number | undefined;
  params: Types;
  results: Types;
  under: Types;
  /** Its number among the sites of the function, from 1; 0 for none. */
  site: number;
  lastSite: number;
}

type Target = Block | Call;
type Item = Raw | Branch | Target;

/** What a function does that says whether it may be on the stack. */
interface Summary {
  callees: Set<number>;
  indirect: boolean;
  callsInLoop: boolean;
}

/**
 * Rewrites a metered module: of a reactor only so that its globals can be saved.
 *
 * @returns undefined where its stack cannot be captured: with exceptions, tail calls, references in locals, tables that
 *   change, no memory or several
 */
export function makeCapturable(bytes: Uint8Array<ArrayBuffer>): Capturable | undefined {
  try {
    return new Rewriter(bytes).rewrite();
  } catch (error) {
    // A RangeError: blocks that are nested too deeply to be read here.
    if (error instanceof Uncapturable || error instanceof RangeError) return undefined;
    throw error;
  }
}

class Rewriter {
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly module: Module;
  private readonly signatures: (readonly [Types, Types] | undefined)[];
  private readonly globals: { type: number; mutable: boolean }[] = [];
  private readonly addedTypes: number[][] = [];
  private readonly typeIndices = new Map<string, number>();
  private refillTable = -1;
  private start = -1;
  /** The function that asks the host for more fuel. */
  private more = -1;
  private captured = new Set<number>();
  private frameExtra = 0;

  // Of the function at hand.
  private current = -1;
  private pos = 0;
  private locals: number[] = [];
  /** Types of operands; what lies above the height is of no use. */
  private readonly stack: number[] = [];
  private height = 0;
  private sites = 0;
  private summary: Summary | undefined;
  private loops = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.module = readModule(bytes);
    const { types, memories, tables } = this.module;
    if (memories.length !== 1 || memories[0]!.is64) uncapturable("its memory");
    if (tables.some(({ is64 }) => is64)) uncapturable("a large table");
    this.signatures = types.map((type) => {
      if (!type) return undefined;
      const [params, results] = [type.params, type.results].map((at) => this.valueTypes(at));
      return params && results && [params, results];
    });
  }

  /** The types of a vector that begins at `at`; undefined where one of them is a reference. */
  private valueTypes(at: number): Types | undefined {
    const reader = new Reader(this.bytes, at, this.bytes.length);
    const found: number[] = [];
    for (let n = reader.count(); n > 0; n--) {
      const type = reader.byte();
      if (!(type in SIZE)) return undefined;
      found.push(type);
    }
    return found;
  }

  rewrite(): Capturable {
    const { module, bytes } = this;
    for (const { id, start, end } of module.sections) {
      const reader = new Reader(bytes, start, end);
      if (id === Section.global) this.readGlobals(reader);
      if (id === Section.export) this.readExports(reader);
    }
    const bodies = this.readBodies();
    // A reactor has no stack between two calls, and within one it is not captured.
    if (this.start >= 0) this.chooseFunctions(bodies);
    const first = module.globalCount;
    this.state = first;
    this.pointer = first + 1;
    this.here = first + 2;
    const code = new Writer(bytes.length * 2);
    code.unsigned(bodies.length + 2);
    bodies.forEach(([start, end], i) => {
      const index = module.importedFunctions + i;
      if (this.captured.has(index)) this.writeFunction(index, start, end, code);
      else code.unsigned(end - start).copy(bytes, start, end);
    });
    const globalBytes = this.writeGlobalFunctions(code);
    return { bytes: this.assemble(code), globalBytes, frameExtra: this.frameExtra };
  }

  private readGlobals(reader: Reader): void {
    for (let n = reader.count(); n > 0; n--) {
      const type = reader.byte();
      if (!(type in SIZE)) uncapturable("a reference in a global");
      this.globals.push({ type, mutable: reader.byte() === 1 });
      skipConstant(reader, new Allocations(Infinity));
    }
  }

  private readExports(reader: Reader): void {
    for (let n = reader.count(); n > 0; n--) {
      const name = reader.name();
      const kind = reader.byte();
      const index = reader.u32();
      if (name === REFILL_EXPORT && kind === 1) this.refillTable = index;
      if (name === "_start" && kind === 0) this.start = index;
    }
  }

  /** Where each function's body begins and ends. */
  private readBodies(): [start: number, end: number][] {
    const section = this.module.sections.find(({ id }) => id === Section.code);
    if (!section) return [];
    const reader = new Reader(this.bytes, section.start, section.end);
    return Array.from({ length: reader.count() }, () => {
      const size = reader.u32();
      const start = reader.pos;
      reader.skip(size);
      return [start, start + size];
    });
  }

  /** Those that may be on the stack when it is captured: with those that they are called by. */
  private chooseFunctions(bodies: [number, number][]): void {
    const { importedFunctions } = this.module;
    const summaries = bodies.map(([start, end], i) => {
      const summary: Summary = { callees: new Set(), indirect: false, callsInLoop: false };
      this.summary = summary;
      this.readFunction(importedFunctions + i, start, end);
      return summary;
    });
    this.summary = undefined;
    const callers = new Map<number, number[]>();
    const waiting: number[] = this.start >= importedFunctions ? [this.start] : [];
    summaries.forEach(({ callees, indirect, callsInLoop }, i) => {
      const index = importedFunctions + i;
      for (const callee of callees) {
        if (callee === this.more) continue;
        const known = callers.get(callee);
        if (known) known.push(index);
        else callers.set(callee, [index]);
      }
      if (indirect || callsInLoop) waiting.push(index);
    });
    for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
      if (this.captured.has(index)) continue;
      this.captured.add(index);
      if (index !== this.more) waiting.push(...(callers.get(index) ?? []));
    }
  }

  // Reading ------------------------------------------------------------------------------------------------------------

  private readFunction(index: number, start: number, end: number): Body {
    const [params] = this.signature(this.module.functions[index]!);
    const reader = new Reader(this.bytes, start, end);
    this.locals = [...params];
    for (let groups = reader.count(); groups > 0; groups--) {
      const count = reader.u32();
      const type = reader.byte();
      // Of a reference there may be more bytes: that is found out by what is not in the table.
      if (!(type in SIZE)) uncapturable("a reference in a local");
      for (let n = 0; n < count; n++) this.locals.push(type);
    }
    this.current = index;
    this.pos = reader.pos;
    this.height = 0;
    this.sites = 0;
    this.loops = 0;
    return this.readBody([])[0];
  }

  private push(types: Types): void {
    for (const type of types) this.stack[this.height++] = type;
  }

  private signature(type: number): readonly [Types, Types] {
    return this.signatures[type] ?? uncapturable("a reference in a signature");
  }

  private leb(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.pos++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  private blockType(): readonly [Types, Types] {
    const byte = this.bytes[this.pos]!;
    if (byte === EMPTY) {
      this.pos++;
      return [[], []];
    }
    if (byte in SIZE) {
      this.pos++;
      return [[], [byte]];
    }
    if (byte >= EMPTY && byte < 0x80) uncapturable("a reference from a block");
    return this.signature(this.leb());
  }

  /** @returns the body, and what ends it: `else` or `end` */
  private readBody(params: Types): [Body, number] {
    const { bytes } = this;
    const base = this.height - params.length;
    const body: Body = { params, items: [], targets: [], lastSite: 0 };
    let raw = this.pos;
    const before = (at: number) => {
      if (at > raw && !this.summary) body.items.push({ kind: "raw", start: raw, end: at });
    };
    const add = (item: Item, at: number) => {
      if (this.summary) return;
      before(at);
      body.items.push(item);
      raw = this.pos;
    };
    const target = (item: Target) => {
      if (item.lastSite === 0) return;
      body.targets.push(item);
      body.lastSite = item.lastSite;
    };
    for (;;) {
      const at = this.pos;
      const op = bytes[this.pos++]!;
      if (op === 0x0b || op === 0x05) {
        before(at);
        this.height = base;
        return [body, op];
      }
      if (op === BLOCK || op === LOOP || op === IF) {
        const block = this.readBlock(op, base);
        add(block, at);
        target(block);
      } else if (op >= 0x0c && op <= 0x0e) {
        const branch = this.readBranch(op);
        add(branch, at);
      } else if (op === 0x10 || op === 0x11) {
        const call = this.readCall(op, at, base);
        if (call.site > 0) {
          add(call, at);
          target(call);
        }
      } else this.readPlain(op);
      if (op === 0x00 || op === 0x0c || op === 0x0e || op === 0x0f) {
        before(this.pos);
        const end = this.skipDead();
        this.height = base;
        return [body, end];
      }
    }
  }

  private readBlock(op: number, base: number): Block {
    const { stack, summary } = this;
    const [params, results] = this.blockType();
    if (op === IF) this.height--;
    const under = summary ? NONE_BELOW : stack.slice(base, this.height - params.length);
    if (op === LOOP) this.loops++;
    const [first, ended] = this.readBody(params);
    const bodies = [first];
    if (ended === 0x05) {
      this.push(params);
      bodies.push(this.readBody(params)[0]);
    }
    if (op === LOOP) this.loops--;
    this.push(results);
    const lastSite = Math.max(...bodies.map(({ lastSite }) => lastSite));
    return { kind: "block", op, params, results, under, bodies, lastSite, spills: [] };
  }

  private readBranch(op: number): Branch {
    if (op !== 0x0e) {
      if (op === 0x0d) this.height--;
      return { kind: "branch", op, labels: [this.leb()] };
    }
    this.height--;
    const labels = Array.from({ length: this.leb() + 1 }, () => this.leb());
    return { kind: "branch", op, labels };
  }

  private readCall(op: number, start: number, base: number): Call {
    const { stack, module, summary } = this;
    const index = this.leb();
    const [params, results] = this.signature(op === 0x10 ? module.functions[index]! : index);
    const callee = op === 0x10 ? index : undefined;
    if (op === 0x11) {
      if (this.leb() === this.refillTable) this.more = this.current;
      this.height--;
    }
    if (summary) {
      if (callee === undefined) summary.indirect = true;
      else if (callee >= module.importedFunctions) {
        summary.callees.add(callee);
        // Every loop calls one of the meter's own.
        if (this.loops > 0 && callee < module.functions.length - METER_FUNCTIONS) summary.callsInLoop = true;
      }
    }
    this.height -= params.length;
    const isSite = callee === undefined || callee === this.more || this.captured.has(callee);
    const site = isSite && !summary ? ++this.sites : 0;
    const under = site > 0 ? stack.slice(base, this.height) : NONE_BELOW;
    this.push(results);
    return { kind: "call", start, end: this.pos, callee, params, results, under, site, lastSite: site };
  }

  /** Any other instruction. */
  private readPlain(op: number): void {
    const { stack } = this;
    switch (op) {
      case 0x20:
        stack[this.height++] = this.locals[this.leb()]!;
        return;
      case 0x21:
        this.leb();
        this.height--;
        return;
      case 0x22:
      case 0x01:
      case 0x00:
      case 0x0f:
        if (op === 0x22) this.leb();
        return;
      case 0x23:
        stack[this.height++] = this.globals[this.leb()]!.type;
        return;
      case 0x24:
        this.leb();
        this.height--;
        return;
      case 0x1a:
        this.height--;
        return;
      case 0x1b:
        this.height -= 2;
        return;
      case 0x1c:
        for (let n = this.leb(); n > 0; n--) if (!(this.bytes[this.pos++]! in SIZE)) uncapturable("a reference");
        this.height -= 2;
        return;
      case 0xfc: {
        const sub = this.skipPrefixed(op);
        this.height -= MISC.pops[sub]!;
        if (sub < 8) stack[this.height++] = sub < 4 ? i32 : i64;
        return;
      }
      case 0xfd: {
        const sub = this.skipPrefixed(op);
        this.height -= SIMD.pops[sub]!;
        if (SIMD.pushes[sub]! > 0) stack[this.height++] = LANES[sub] ?? v128;
        return;
      }
    }
    if (CORE.immediate[op]! >= SPECIAL || (op < 0x28 && op !== 0x01) || op > 0xc4) uncapturable("an instruction");
    this.skipImmediate(CORE.immediate[op]!);
    this.height -= CORE.pops[op]!;
    if (CORE.pushes[op]! > 0) stack[this.height++] = RESULT[op]!;
  }

  private skipImmediate(immediate: number): void {
    if (immediate === LEB) this.leb();
    else if (immediate === MEMARG) this.skipMemarg();
    else if (immediate === FOUR) this.pos += 4;
    else if (immediate === EIGHT) this.pos += 8;
  }

  private skipMemarg(): void {
    if (this.leb() >= 0x40) uncapturable("several memories");
    this.leb();
  }

  /** Moves past an instruction with a prefix. @returns its number after that */
  private skipPrefixed(op: number): number {
    const set = op === 0xfc ? MISC : SIMD;
    const sub = this.leb();
    const immediate = set.immediate[sub] ?? UNKNOWN;
    if (immediate === UNKNOWN) uncapturable("an instruction");
    if (op === 0xfd) {
      if (immediate === MEMARG) this.skipMemarg();
      this.pos += set.trailing[sub]!;
      return sub;
    }
    // What drops segments, or changes a table, leaves traces that cannot be read: only copies and fills of memory.
    if (sub > 7 && sub !== 0x0a && sub !== 0x0b) uncapturable("a table or segments that change");
    if (immediate !== NONE) this.leb();
    if (immediate === SPECIAL) this.leb();
    return sub;
  }

  /** Moves past code that is never run: to what ends the body. @returns that, `else` or `end` */
  private skipDead(): number {
    for (let depth = 0; ; ) {
      const op = this.bytes[this.pos++]!;
      if (op === 0x0b && depth-- === 0) return op;
      if (op === 0x05 && depth === 0) return op;
      if (op === BLOCK || op === LOOP || op === IF) {
        depth++;
        this.blockType();
      } else if (op === 0x0e) for (let n = this.leb() + 1; n > 0; n--) this.leb();
      else if (op === 0x0c || op === 0x0d || op === 0x10) this.leb();
      else if (op === 0x11) {
        this.leb();
        this.leb();
      } else if (op === 0x1c) {
        for (let n = this.leb(); n > 0; n--) if (!(this.bytes[this.pos++]! in SIZE)) uncapturable("a reference");
      } else if (op === 0xfc || op === 0xfd) this.skipPrefixed(op);
      else if (op === 0x0b || op === 0x05 || op === 0x00 || op === 0x01 || op === 0x0f || op === 0x1a || op === 0x1b) {
        // nothing follows these
      } else if ((op >= 0x20 && op <= 0x24) || (op >= 0x28 && op <= 0xc4)) this.skipImmediate(CORE.immediate[op]!);
      else uncapturable("an instruction");
    }
  }

  // Writing ------------------------------------------------------------------------------------------------------------

  private state = 0;
  private pointer = 0;
  private here = 0;
  private readonly out = new Writer(1 << 16);
  /** Labels that are open inside each frame of the original function, from its body on. */
  private open: number[] = [];
  private siteLocal = 0;
  private indexLocal = 0;
  private underBase = 0;
  private temporaries = new Map<number, number>();

  private writeFunction(index: number, start: number, end: number, code: Writer): void {
    const body = this.readFunction(index, start, end);
    const [, results] = this.signature(this.module.functions[index]!);
    const kept = this.locals;
    const original = kept.length;
    // Added locals: what is kept of operands, the index of an indirect call; then what need not be kept.
    this.indexLocal = kept.push(i32) - 1;
    const spilled = this.assignSpills(body, kept);
    const layout: number[] = [];
    let bytes = 0;
    for (const type of kept) {
      layout.push(bytes);
      bytes += SIZE[type]!;
    }
    this.underBase = bytes;
    const frame = this.underBase + this.largestUnder(body) + 4;
    this.frameExtra = Math.max(this.frameExtra, ADDED_LOCAL_BYTES + spilled);
    this.siteLocal = kept.length;
    this.temporaries = new Map([i32, i64, f32, f64, v128].map((type, n) => [type, this.siteLocal + 1 + n]));

    const { out } = this;
    out.length = 0;
    const added = [...kept.slice(original), i32, i32, i64, f32, f64, v128];
    this.copyLocals(start, end, added);

    this.globalGet(this.state);
    out.raw([0x41, REWINDING, 0x46, IF, EMPTY]);
    this.movePointer(-frame);
    this.load(i32, frame - 4);
    this.localSet(this.siteLocal);
    kept.forEach((type, local) => {
      this.load(type, layout[local]!);
      this.localSet(local);
    });
    out.byte(0x0b);
    out.raw([BLOCK, EMPTY]).byte(BLOCK);
    this.writeBlockType([], results);
    this.open = [];
    this.writeBody(body);
    out.raw([0x0b, 0x0f, 0x0b]);
    kept.forEach((type, local) => {
      this.store(type, layout[local]!, local);
    });
    this.store(i32, frame - 4, this.siteLocal);
    this.movePointer(frame);
    for (const type of results) out.raw(ZERO[type]!);
    out.byte(0x0b);
    code.unsigned(out.length).raw(out.written());
  }

  private copyLocals(start: number, end: number, added: number[]): void {
    const reader = new Reader(this.bytes, start, end);
    const groups = reader.count();
    const from = reader.pos;
    for (let n = groups; n > 0; n--) {
      reader.u32();
      reader.byte();
    }
    this.out.unsigned(groups + added.length).copy(this.bytes, from, reader.pos);
    for (const type of added) this.out.byte(1).byte(type);
  }

  /** Gives locals to the operands below blocks that hold sites. @returns their bytes */
  private assignSpills(body: Body, kept: number[]): number {
    let bytes = 0;
    for (const target of body.targets) {
      if (target.kind !== "block") continue;
      target.spills = target.under.map((type) => kept.push(type) - 1);
      bytes += sizeOf(target.under);
      for (const inside of target.bodies) bytes += this.assignSpills(inside, kept);
    }
    return bytes;
  }

  private largestUnder({ targets }: Body): number {
    let most = 0;
    for (const target of targets) {
      const bytes =
        target.kind === "call"
          ? sizeOf(target.under)
          : Math.max(...target.bodies.map((inside) => this.largestUnder(inside)));
      most = Math.max(most, bytes);
    }
    return most;
  }

  private writeBody(body: Body): void {
    const { out, open } = this;
    const { targets, items } = body;
    const level = open.push(targets.length) - 1;
    if (targets.length > 0) this.writeJumps(body);
    let next = 0;
    for (const item of items) {
      if (item.kind === "raw") out.copy(this.bytes, item.start, item.end);
      else if (item.kind === "branch") this.writeBranch(item);
      else {
        if (item === targets[next]) {
          out.byte(0x0b);
          open[level]!--;
          next++;
        }
        if (item.kind === "call") this.writeCall(item);
        else this.writeBlock(item);
      }
    }
    open.pop();
  }

  /** Opens a block for each of a body's targets, and jumps to the end of one of them, if the stack rewinds. */
  private writeJumps({ targets, params }: Body): void {
    const { out } = this;
    for (const target of targets.toReversed()) {
      out.byte(BLOCK);
      this.writeBlockType(params, operandsOf(target));
    }
    this.localGet(this.siteLocal);
    out.raw([IF, EMPTY]);
    targets.forEach((target, i) => {
      this.isAtMost(target.lastSite);
      out.raw([IF, EMPTY]);
      if (target.kind === "call") {
        out.raw(ZERO[i32]!);
        this.localSet(this.siteLocal);
        let at = this.underBase;
        for (const type of target.under) {
          this.load(type, at);
          at += SIZE[type]!;
        }
        // Who rewinds does not look at what it is given.
        for (const type of target.params) out.raw(ZERO[type]!);
        if (target.callee === undefined) this.localGet(this.indexLocal);
      } else {
        for (const local of target.spills) this.localGet(local);
        for (const type of target.params) out.raw(ZERO[type]!);
        if (target.op === IF) this.isAtMost(target.bodies[0]!.lastSite);
      }
      out
        .byte(0x0c)
        .unsigned(2 + i)
        .byte(0x0b);
    });
    out.raw([0x00, 0x0b]);
  }

  /** Whether the site to go to is one of those up to `last`. */
  private isAtMost(last: number): void {
    this.localGet(this.siteLocal);
    this.out.byte(0x41).signed(last).byte(0x4d);
  }

  private writeBranch({ op, labels }: Branch): void {
    const { out } = this;
    out.byte(op);
    if (op === 0x0e) out.unsigned(labels.length - 1);
    for (const label of labels) out.unsigned(this.depthOf(label));
  }

  /** The label of the frame `out` frames out, with what is open in between. */
  private depthOf(label: number): number {
    const { open } = this;
    const to = open.length - 1 - label;
    let depth = open[to]!;
    for (let frame = open.length - 1; frame > to; frame--) depth += 1 + open[frame]!;
    return depth;
  }

  private writeBlock(block: Block): void {
    const { out } = this;
    const { op, params, results, under, bodies, lastSite } = block;
    if (lastSite > 0 && under.length > 0) this.keepOperands(block);
    out.byte(op);
    this.writeBlockType(params, results);
    bodies.forEach((body, i) => {
      if (i === 1) out.byte(0x05);
      this.writeBody(body);
    });
    out.byte(0x0b);
  }

  /** Copies into locals what lies below a block: from inside it cannot be reached. */
  private keepOperands({ op, params, spills }: Block): void {
    const above = [...params, ...(op === IF ? [i32] : [])];
    // Of one type there is one temporary: several parameters would need more.
    if (new Set(above).size < above.length) uncapturable("a block with parameters above operands");
    for (const type of above.toReversed()) this.localSet(this.temporaries.get(type)!);
    for (const local of spills.toReversed()) this.localSet(local);
    for (const local of spills) this.localGet(local);
    for (const type of above) this.localGet(this.temporaries.get(type)!);
  }

  private writeCall({ start, end, callee, under, results, site }: Call): void {
    const { out } = this;
    const asks = callee === this.more;
    if (callee === undefined) this.out.byte(0x22).unsigned(this.indexLocal);
    if (asks) this.setHere(1);
    out.copy(this.bytes, start, end);
    if (asks) this.setHere(0);
    this.globalGet(this.state);
    out.byte(IF);
    const operands = [...under, ...results];
    this.writeBlockType(operands, operands);
    for (let n = results.length; n > 0; n--) out.byte(0x1a);
    let at = this.underBase + sizeOf(under);
    for (const type of under.toReversed()) {
      const temporary = this.temporaries.get(type)!;
      this.localSet(temporary);
      at -= SIZE[type]!;
      this.store(type, at, temporary);
    }
    out.byte(0x41).signed(site);
    this.localSet(this.siteLocal);
    // Out of this `if`, past the label of the function's own body.
    out.byte(0x0c).unsigned(this.depthOf(this.open.length - 1) + 2);
    out.byte(0x0b);
  }

  private setHere(value: number): void {
    this.out.raw([0x41, value, 0x24]).unsigned(this.here);
  }

  private globalGet(index: number): void {
    this.out.byte(0x23).unsigned(index);
  }

  private localGet(index: number): void {
    this.out.byte(0x20).unsigned(index);
  }

  private localSet(index: number): void {
    this.out.byte(0x21).unsigned(index);
  }

  private movePointer(by: number): void {
    this.globalGet(this.pointer);
    this.out.byte(0x41).signed(by).byte(0x6a).byte(0x24).unsigned(this.pointer);
  }

  /** What is kept at an offset in the frame. */
  private load(type: number, offset: number): void {
    this.globalGet(this.pointer);
    this.out.raw(LOAD[type]!).byte(0).unsigned(offset);
  }

  private store(type: number, offset: number, local: number): void {
    this.globalGet(this.pointer);
    this.localGet(local);
    this.out.raw(STORE[type]!).byte(0).unsigned(offset);
  }

  private writeBlockType(params: Types, results: Types): void {
    const { out } = this;
    if (params.length > 0 || results.length > 1) out.signed(this.typeOf(params, results));
    else out.byte(results[0] ?? EMPTY);
  }

  private typeOf(params: Types, results: Types): number {
    const key = String.fromCharCode(...params, 0, ...results);
    const known = this.typeIndices.get(key);
    if (known !== undefined) return known;
    const vector = (types: Types) => [...new Writer().unsigned(types.length).raw(types).written()];
    const index = this.module.types.length + this.addedTypes.push([0x60, ...vector(params), ...vector(results)]) - 1;
    this.typeIndices.set(key, index);
    return index;
  }

  /** The functions that write the mutable globals at address 0, and read them back: bits and all. @returns their bytes */
  private writeGlobalFunctions(code: Writer): number {
    const save = new Writer().byte(0);
    const load = new Writer().byte(0);
    let at = 0;
    this.globals.forEach(({ type, mutable }, index) => {
      if (!mutable) return;
      save.raw([0x41, 0, 0x23]).unsigned(index).raw(STORE[type]!).byte(0).unsigned(at);
      load.raw([0x41, 0]).raw(LOAD[type]!).byte(0).unsigned(at).byte(0x24).unsigned(index);
      at += SIZE[type]!;
    });
    for (const body of [save, load]) {
      body.byte(0x0b);
      code.unsigned(body.length).raw(body.written());
    }
    return at;
  }

  private assemble(code: Writer): Uint8Array<ArrayBuffer> {
    const { module, bytes } = this;
    const nothing = this.typeOf([], []);
    const functions = module.functions.length;
    const globals = [this.state, this.pointer, this.here];
    const exported: [string, number, number][] = [
      [STATE_EXPORT, 3, globals[0]!],
      [POINTER_EXPORT, 3, globals[1]!],
      [HERE_EXPORT, 3, globals[2]!],
      [SAVE_EXPORT, 0, functions],
      [LOAD_EXPORT, 0, functions + 1],
    ];
    const additions: Record<number, [count: number, bytes: Writer]> = {
      [Section.type]: [this.addedTypes.length, new Writer().raw(this.addedTypes.flat())],
      [Section.function]: [2, new Writer().unsigned(nothing).unsigned(nothing)],
      [Section.global]: [3, new Writer().raw(globals.flatMap(() => [i32, 1, 0x41, 0, 0x0b]))],
      [Section.export]: [exported.length, new Writer()],
    };
    for (const [name, kind, index] of exported) additions[Section.export]![1].name(name).byte(kind).unsigned(index);

    const out = new Writer(code.length + bytes.length).copy(bytes, 0, 8);
    for (const { id, start, end } of module.sections) {
      // Hints and names speak of other bytes.
      if (id === Section.custom) continue;
      const contents = new Writer();
      const more = additions[id];
      if (id === Section.code) contents.raw(code.written());
      else if (!more) contents.copy(bytes, start, end);
      else {
        const reader = new Reader(bytes, start, end);
        const count = reader.u32();
        contents
          .unsigned(count + more[0])
          .copy(bytes, reader.pos, end)
          .raw(more[1].written());
      }
      out.byte(id).unsigned(contents.length).raw(contents.written());
    }
    return new Uint8Array(out.written());
  }
}

/** What lies on the stack of a body when control comes to a target. */
const operandsOf = (target: Target): Types => [
  ...target.under,
  ...target.params,
  ...(target.kind === "call" ? (target.callee === undefined ? [i32] : []) : target.op === IF ? [i32] : []),
];
