/**
 * What the meter knows of each instruction (WebAssembly 3.0, section 5.4): its immediates, how many operands it takes
 * and leaves, and how it treats NaN. What is not in these tables is not admitted.
 *
 * Fuel, cost table `wt1` (the default of Wasmtime): every instruction costs 1, except that `nop`, `drop`, `block`,
 * `loop`, `else`, `end`, `delegate`, `return` and `unreachable` cost nothing; entering a function costs 1 more; bulk
 * instructions cost 1 more for each byte of memory or element of a table or array they are asked to touch.
 */

/** Which immediates follow an opcode; what is not in the first five is decoded case by case. */
export const Immediate = { none: 0, leb: 1, memarg: 2, four: 3, eight: 4, special: 5, unknown: 6 } as const;

/** The floating-point type whose NaNs an instruction makes or absorbs; as a set, `1 << type`. */
export const Float = { f32: 0, f64: 1, f32x4: 2, f64x2: 3 } as const;

export interface Instructions {
  immediate: Uint8Array;
  pops: Uint8Array;
  pushes: Uint8Array;
  cost: Uint8Array;
  /** 1 + the {@link Float} type of a result whose NaN bits the engine may choose; 0 for none. */
  makesNan: Uint8Array;
  /** The {@link Float} types of operands whose NaN bits cannot show in what the instruction does. */
  absorbsNan: Uint8Array;
}

const table = (): Instructions => ({
  immediate: new Uint8Array(256).fill(Immediate.unknown),
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
  immediate: number = Immediate.none,
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

const { leb, memarg, four, eight, special } = Immediate;

export const CORE = table();
define(CORE, 0x01, 0x01, 0, 0); // nop
for (const op of [
  0x00, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13,
  0x14, 0x15, 0x18, 0x19, 0x1c, 0x1f, 0xd5, 0xd6, 0xfb, 0xfc, 0xfd,
]) {
  define(CORE, op, op, 0, 0, special);
}
define(CORE, 0x1a, 0x1a, 1, 0); // drop
define(CORE, 0x1b, 0x1b, 3, 1); // select
define(CORE, 0x20, 0x20, 0, 1, leb); // local.get
define(CORE, 0x21, 0x21, 1, 0, leb);
define(CORE, 0x22, 0x22, 1, 1, leb);
define(CORE, 0x23, 0x23, 0, 1, leb); // global.get
define(CORE, 0x24, 0x24, 1, 0, leb);
define(CORE, 0x25, 0x25, 1, 1, leb); // table.get
define(CORE, 0x26, 0x26, 2, 0, leb);
define(CORE, 0x28, 0x35, 1, 1, memarg); // loads
define(CORE, 0x36, 0x3e, 2, 0, memarg); // stores
define(CORE, 0x3f, 0x3f, 0, 1, leb); // memory.size
define(CORE, 0x40, 0x40, 1, 1, leb); // memory.grow
define(CORE, 0x41, 0x42, 0, 1, leb); // i32.const, i64.const
define(CORE, 0x43, 0x43, 0, 1, four);
define(CORE, 0x44, 0x44, 0, 1, eight);
define(CORE, 0x45, 0x45, 1, 1); // i32.eqz
define(CORE, 0x46, 0x4f, 2, 1);
define(CORE, 0x50, 0x50, 1, 1); // i64.eqz
define(CORE, 0x51, 0x66, 2, 1); // comparisons of i64, f32, f64
define(CORE, 0x67, 0x69, 1, 1); // i32.clz …
define(CORE, 0x6a, 0x78, 2, 1); // i32.add …
define(CORE, 0x79, 0x7b, 1, 1); // i64.clz …
define(CORE, 0x7c, 0x8a, 2, 1); // i64.add …
define(CORE, 0x8b, 0x91, 1, 1); // f32.abs …
define(CORE, 0x92, 0x98, 2, 1); // f32.add …
define(CORE, 0x99, 0x9f, 1, 1); // f64.abs …
define(CORE, 0xa0, 0xa6, 2, 1); // f64.add …
define(CORE, 0xa7, 0xc4, 1, 1); // conversions, sign extension
define(CORE, 0xd0, 0xd0, 0, 1, leb); // ref.null
define(CORE, 0xd1, 0xd1, 1, 1); // ref.is_null
define(CORE, 0xd2, 0xd2, 0, 1, leb); // ref.func
define(CORE, 0xd3, 0xd3, 2, 1); // ref.eq
define(CORE, 0xd4, 0xd4, 1, 1); // ref.as_non_null
for (const free of [0x00, 0x01, 0x02, 0x03, 0x05, 0x0b, 0x0f, 0x18, 0x1a]) CORE.cost[free] = 0;
CORE.absorbsNan[0x1a] = 0b1111; // drop
CORE.absorbsNan.fill(1 << Float.f32, 0x5b, 0x60 + 1); // comparisons
CORE.absorbsNan.fill(1 << Float.f64, 0x61, 0x66 + 1);
CORE.absorbsNan.fill(1 << Float.f32, 0xa8, 0xa9 + 1); // truncations to integers
CORE.absorbsNan.fill(1 << Float.f64, 0xaa, 0xab + 1);
CORE.absorbsNan.fill(1 << Float.f32, 0xae, 0xaf + 1);
CORE.absorbsNan.fill(1 << Float.f64, 0xb0, 0xb1 + 1);
arithmetic(CORE, 0x8d, 0x97, Float.f32); // ceil … max; not abs, neg, copysign, which are bit operations
arithmetic(CORE, 0x9b, 0xa5, Float.f64);
arithmetic(CORE, 0xb6, 0xb6, Float.f32, Float.f64); // f32.demote_f64
arithmetic(CORE, 0xbb, 0xbb, Float.f64, Float.f32); // f64.promote_f32

/** Instructions after the prefix 0xfb, other than branches: garbage collection. `special`: arity from the type. */
export const GC = table();
define(GC, 0x00, 0x00, 0, 1, special); // struct.new
define(GC, 0x01, 0x01, 0, 1, leb); // struct.new_default
define(GC, 0x02, 0x04, 1, 1, special); // struct.get, get_s, get_u: two indices
define(GC, 0x05, 0x05, 2, 0, special); // struct.set
define(GC, 0x06, 0x06, 2, 1, leb); // array.new
define(GC, 0x07, 0x07, 1, 1, leb); // array.new_default
define(GC, 0x08, 0x08, 0, 1, special); // array.new_fixed
define(GC, 0x09, 0x0a, 2, 1, special); // array.new_data, new_elem
define(GC, 0x0b, 0x0d, 2, 1, leb); // array.get, get_s, get_u
define(GC, 0x0e, 0x0e, 3, 0, leb); // array.set
define(GC, 0x0f, 0x0f, 1, 1); // array.len
define(GC, 0x10, 0x10, 4, 0, leb); // array.fill
define(GC, 0x11, 0x11, 5, 0, special); // array.copy
define(GC, 0x12, 0x13, 4, 0, special); // array.init_data, init_elem
define(GC, 0x14, 0x17, 1, 1, leb); // ref.test, ref.cast
define(GC, 0x18, 0x19, 0, 0, special); // br_on_cast, br_on_cast_fail
define(GC, 0x1a, 0x1e, 1, 1); // conversions, i31

/** Instructions after the prefix 0xfc. `special`: two indices. */
export const MISC = table();
define(MISC, 0x00, 0x07, 1, 1); // saturating truncation
for (const [first, type] of [
  [0x00, Float.f32],
  [0x02, Float.f64],
  [0x04, Float.f32],
  [0x06, Float.f64],
] as const) {
  MISC.absorbsNan.fill(1 << type, first, first + 2);
}
define(MISC, 0x08, 0x08, 3, 0, special); // memory.init
define(MISC, 0x09, 0x09, 0, 0, leb); // data.drop
define(MISC, 0x0a, 0x0a, 3, 0, special); // memory.copy
define(MISC, 0x0b, 0x0b, 3, 0, leb); // memory.fill
define(MISC, 0x0c, 0x0c, 3, 0, special); // table.init
define(MISC, 0x0d, 0x0d, 0, 0, leb); // elem.drop
define(MISC, 0x0e, 0x0e, 3, 0, special); // table.copy
define(MISC, 0x0f, 0x0f, 2, 1, leb); // table.grow
define(MISC, 0x10, 0x10, 0, 1, leb); // table.size
define(MISC, 0x11, 0x11, 3, 0, leb); // table.fill

/**
 * Instructions after the prefix 0xfd, one letter for each opcode: `u`nary, `b`inary, `t`ernary, `m` load, `s` store,
 * `c`onstant, `h` shuffle, `x` extract lane, `r` replace lane, `l` load lane, `k` store lane, `.` not assigned.
 */
const SIMD_SHAPES =
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
  "bbbbbbbbuuuuuuuu"; // f0

/** Bytes of immediates that follow a vector instruction, after its memory argument if it has one. */
export const SIMD_TRAILING = new Uint8Array(256);
export const SIMD = table();
for (const [op, shape] of [...SIMD_SHAPES].entries()) {
  if (shape === ".") continue;
  const pops = "mux".includes(shape) ? 1 : shape === "t" ? 3 : shape === "c" ? 0 : 2;
  const addressed = "mslk".includes(shape);
  define(SIMD, op, op, pops, "sk".includes(shape) ? 0 : 1, addressed ? memarg : Immediate.none);
  SIMD_TRAILING[op] = "ch".includes(shape) ? 16 : "xrlk".includes(shape) ? 1 : 0;
}
SIMD.absorbsNan.fill(1 << Float.f32x4, 0x41, 0x46 + 1); // comparisons
SIMD.absorbsNan.fill(1 << Float.f64x2, 0x47, 0x4c + 1);
SIMD.absorbsNan.fill(1 << Float.f32x4, 0xf8, 0xf9 + 1); // truncations to integers
SIMD.absorbsNan.fill(1 << Float.f64x2, 0xfc, 0xfd + 1);
arithmetic(SIMD, 0x5e, 0x5e, Float.f32x4, Float.f64x2); // demote
arithmetic(SIMD, 0x5f, 0x5f, Float.f64x2, Float.f32x4); // promote
arithmetic(SIMD, 0x67, 0x6a, Float.f32x4); // ceil, floor, trunc, nearest
arithmetic(SIMD, 0x74, 0x75, Float.f64x2);
arithmetic(SIMD, 0x7a, 0x7a, Float.f64x2);
arithmetic(SIMD, 0x94, 0x94, Float.f64x2);
arithmetic(SIMD, 0xe3, 0xe9, Float.f32x4); // sqrt, add … max; not pmin and pmax, which are selections
arithmetic(SIMD, 0xef, 0xf5, Float.f64x2);
