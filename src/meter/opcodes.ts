/**
 * What the meter knows of each instruction (WebAssembly 3.0, section 5.4): its immediates, how many operands it takes
 * and leaves, and how it treats NaN. What is not in these tables is not admitted.
 *
 * Fuel, cost table `wt1` (the default of Wasmtime): every instruction costs 1, except that `nop`, `drop`, `block`,
 * `loop`, `else`, `end`, `delegate`, `return` and `unreachable` cost nothing; entering a function costs 1 more; bulk
 * instructions cost 1 more for each byte of memory or element of a table or array they are asked to touch.
 */

/** Which immediates follow an opcode; what is not in the first five is decoded case by case. */
export const NONE = 0;
export const LEB = 1;
export const MEMARG = 2;
export const FOUR = 3;
export const EIGHT = 4;
export const SPECIAL = 5;
export const UNKNOWN = 6;

/** The floating-point type whose NaNs an instruction makes or absorbs; as a set, `1 << type`. */
const F32 = 0;
const F64 = 1;
const F32X4 = 2;
const F64X2 = 3;

export interface Instructions {
  immediate: Uint8Array;
  /** Bytes of immediates after that, or instead of it. */
  trailing: Uint8Array;
  pops: Uint8Array;
  pushes: Uint8Array;
  cost: Uint8Array;
  /** 1 + the floating-point type of a result whose NaN bits the engine may choose; 0 for none. */
  makesNan: Uint8Array;
  /** The floating-point types of operands whose NaN bits cannot show in what the instruction does. */
  absorbsNan: Uint8Array;
}

const table = (): Instructions => ({
  immediate: new Uint8Array(256).fill(UNKNOWN),
  trailing: new Uint8Array(256),
  pops: new Uint8Array(256),
  pushes: new Uint8Array(256),
  cost: new Uint8Array(256).fill(1),
  makesNan: new Uint8Array(256),
  absorbsNan: new Uint8Array(256),
});

function define(
  to: Instructions,
  first: number,
  last: number,
  pops: number,
  pushes: number,
  immediate: number = NONE,
): void {
  to.immediate.fill(immediate, first, last + 1);
  to.pops.fill(pops, first, last + 1);
  to.pushes.fill(pushes, first, last + 1);
}

/** Arithmetic on `type`: absorbs the NaNs of its operands and makes new ones. */
function arithmetic(to: Instructions, first: number, last: number, type: number, from = type): void {
  to.makesNan.fill(1 + type, first, last + 1);
  to.absorbsNan.fill(1 << from, first, last + 1);
}

/** What the letters of the tables below stand for: operands, results, immediate, and bytes of immediates after it. */
const SHAPES: Readonly<Record<string, readonly [pops: number, pushes: number, immediate: number, trailing?: number]>> =
  {
    n: [0, 0, NONE], // nop
    z: [0, 0, SPECIAL],
    d: [1, 0, NONE], // drop
    u: [1, 1, NONE], // unary
    b: [2, 1, NONE], // binary
    t: [3, 1, NONE], // ternary
    g: [0, 1, LEB], // gets, constants
    p: [1, 0, LEB], // sets
    e: [1, 1, LEB], // local.tee, table.get, memory.grow
    w: [2, 0, LEB], // table.set
    f: [0, 1, FOUR],
    i: [0, 1, EIGHT],
    m: [1, 1, MEMARG], // loads
    s: [2, 0, MEMARG], // stores
    c: [0, 1, NONE, 16], // v128.const
    h: [2, 1, NONE, 16], // shuffle
    x: [1, 1, NONE, 1], // extract lane
    r: [2, 1, NONE, 1], // replace lane
    l: [2, 1, MEMARG, 1], // load lane
    k: [2, 0, MEMARG, 1], // store lane
  };

/** One letter for each opcode; `.` where there is none. */
function shaped(letters: string): Instructions {
  const made = table();
  for (let op = 0; op < 256; op++) {
    const shape = SHAPES[letters[op]!];
    if (!shape) continue;
    const [pops, pushes, immediate, trailing = 0] = shape;
    define(made, op, op, pops, pushes, immediate);
    made.trailing[op] = trailing;
  }
  return made;
}

export const CORE = shaped(
  "znzzzzzzzzzzzzzz" + // 00
    "zzzzzz..zzdtz..z" + // 10
    "gpegpew.mmmmmmmm" + // 20
    "mmmmmmsssssssssg" + // 30
    "eggfiubbbbbbbbbb" + // 40
    "ubbbbbbbbbbbbbbb" + // 50
    "bbbbbbbuuubbbbbb" + // 60
    "bbbbbbbbbuuubbbb" + // 70
    "bbbbbbbbbbbuuuuu" + // 80
    "uubbbbbbbuuuuuuu" + // 90
    "bbbbbbbuuuuuuuuu" + // a0
    "uuuuuuuuuuuuuuuu" + // b0
    "uuuuu..........." + // c0
    "gugbuzz........." + // d0
    "................" + // e0
    "...........zzz..", // f0
);
for (const free of [0x00, 0x01, 0x02, 0x03, 0x05, 0x0b, 0x0f, 0x18, 0x1a]) CORE.cost[free] = 0;
CORE.absorbsNan[0x1a] = 0b1111; // drop
CORE.absorbsNan.fill(1 << F32, 0x5b, 0x60 + 1); // comparisons
CORE.absorbsNan.fill(1 << F64, 0x61, 0x66 + 1);
CORE.absorbsNan.fill(1 << F32, 0xa8, 0xa9 + 1); // truncations to integers
CORE.absorbsNan.fill(1 << F64, 0xaa, 0xab + 1);
CORE.absorbsNan.fill(1 << F32, 0xae, 0xaf + 1);
CORE.absorbsNan.fill(1 << F64, 0xb0, 0xb1 + 1);
arithmetic(CORE, 0x8d, 0x97, F32); // ceil … max; not abs, neg, copysign, which are bit operations
arithmetic(CORE, 0x9b, 0xa5, F64);
arithmetic(CORE, 0xb6, 0xb6, F32, F64); // f32.demote_f64
arithmetic(CORE, 0xbb, 0xbb, F64, F32); // f64.promote_f32

/** Instructions after the prefix 0xfb, other than branches: garbage collection. `special`: arity from the type. */
export const GC = table();
define(GC, 0x00, 0x00, 0, 1, SPECIAL); // struct.new
define(GC, 0x01, 0x01, 0, 1, LEB); // struct.new_default
define(GC, 0x02, 0x04, 1, 1, SPECIAL); // struct.get, get_s, get_u: two indices
define(GC, 0x05, 0x05, 2, 0, SPECIAL); // struct.set
define(GC, 0x06, 0x06, 2, 1, LEB); // array.new
define(GC, 0x07, 0x07, 1, 1, LEB); // array.new_default
define(GC, 0x08, 0x08, 0, 1, SPECIAL); // array.new_fixed
define(GC, 0x09, 0x0a, 2, 1, SPECIAL); // array.new_data, new_elem
define(GC, 0x0b, 0x0d, 2, 1, LEB); // array.get, get_s, get_u
define(GC, 0x0e, 0x0e, 3, 0, LEB); // array.set
define(GC, 0x0f, 0x0f, 1, 1); // array.len
define(GC, 0x10, 0x10, 4, 0, LEB); // array.fill
define(GC, 0x11, 0x11, 5, 0, SPECIAL); // array.copy
define(GC, 0x12, 0x13, 4, 0, SPECIAL); // array.init_data, init_elem
define(GC, 0x14, 0x17, 1, 1, LEB); // ref.test, ref.cast
define(GC, 0x18, 0x19, 0, 0, SPECIAL); // br_on_cast, br_on_cast_fail
define(GC, 0x1a, 0x1e, 1, 1); // conversions, i31

/** Instructions after the prefix 0xfc. `special`: two indices. */
export const MISC = table();
define(MISC, 0x00, 0x07, 1, 1); // saturating truncation
for (const [first, type] of [
  [0x00, F32],
  [0x02, F64],
  [0x04, F32],
  [0x06, F64],
] as const) {
  MISC.absorbsNan.fill(1 << type, first, first + 2);
}
define(MISC, 0x08, 0x08, 3, 0, SPECIAL); // memory.init
define(MISC, 0x09, 0x09, 0, 0, LEB); // data.drop
define(MISC, 0x0a, 0x0a, 3, 0, SPECIAL); // memory.copy
define(MISC, 0x0b, 0x0b, 3, 0, LEB); // memory.fill
define(MISC, 0x0c, 0x0c, 3, 0, SPECIAL); // table.init
define(MISC, 0x0d, 0x0d, 0, 0, LEB); // elem.drop
define(MISC, 0x0e, 0x0e, 3, 0, SPECIAL); // table.copy
define(MISC, 0x0f, 0x0f, 2, 1, LEB); // table.grow
define(MISC, 0x10, 0x10, 0, 1, LEB); // table.size
define(MISC, 0x11, 0x11, 3, 0, LEB); // table.fill

/** Instructions after the prefix 0xfd. */
export const SIMD = shaped(
  "mmmmmmmmmmmschbu" + // 00
    "uuuuuxxrxxrxrxrx" + // 10
    "rxrbbbbbbbbbbbbb" + // 20
    "bbbbbbbbbbbbbbbb" + // 30
    "bbbbbbbbbbbbbubb" + // 40
    "bbtullllkkkkmmuu" + // 50
    "uuuuubbuuuubbbbb" + // 60
    "bbbbuubbbbubuuuu" + // 70
    "uubuubbuuuubbbbb" + // 80
    "bbbbubbbbb.bbbbb" + // 90
    "uu.uu..uuuubbbb." + // a0
    ".b...bbbbbb.bbbb" + // b0
    "uu.uu..uuuubbbb." + // c0
    ".b...bbbbbbbbbbb" + // d0
    "uu.ubbbbbbbbuu.u" + // e0
    "bbbbbbbbuuuuuuuu", // f0
);
SIMD.absorbsNan.fill(1 << F32X4, 0x41, 0x46 + 1); // comparisons
SIMD.absorbsNan.fill(1 << F64X2, 0x47, 0x4c + 1);
SIMD.absorbsNan.fill(1 << F32X4, 0xf8, 0xf9 + 1); // truncations to integers
SIMD.absorbsNan.fill(1 << F64X2, 0xfc, 0xfd + 1);
arithmetic(SIMD, 0x5e, 0x5e, F32X4, F64X2); // demote
arithmetic(SIMD, 0x5f, 0x5f, F64X2, F32X4); // promote
arithmetic(SIMD, 0x67, 0x6a, F32X4); // ceil, floor, trunc, nearest
arithmetic(SIMD, 0x74, 0x75, F64X2);
arithmetic(SIMD, 0x7a, 0x7a, F64X2);
arithmetic(SIMD, 0x94, 0x94, F64X2);
arithmetic(SIMD, 0xe3, 0xe9, F32X4); // sqrt, add … max; not pmin and pmax, which are selections
arithmetic(SIMD, 0xef, 0xf5, F64X2);
