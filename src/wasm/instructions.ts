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
  /** 1 for bulk instructions: with their length on top of the stack, by which they are charged. */
  bulk: Uint8Array;
  /** 1 + the floating-point type of a result whose NaN bits the engine may choose; 0 for none. */
  makesNan: Uint8Array;
  /** The floating-point types of operands whose NaN bits cannot show in what the instruction does. */
  absorbsNan: Uint8Array;
}

/**
 * What the letters of the tables below stand for, a letter and its digits each: operands, results, which of the
 * immediates above, and how many bytes of immediates after it, in base 36.
 */
const SHAPES =
  "n0000 z0050 d1000 u1100 b2100 t3100 " + // nop, special, drop, unary, binary, ternary
  "g0110 p1010 e1110 w2010 " + // gets and constants, sets, local.tee and the like, table.set
  "f0130 i0140 m1120 s2020 " + // constants of four and of eight bytes, loads, stores
  "c010g h210g x1101 r2101 l2121 k2021 " + // v128.const, shuffle; lanes: extract, replace, load, store
  "o0010 j2110 v3010 q4010 " + // with one index: drops of segments; array.new and get; array.set, fills; array.fill
  "N0150 G1150 J2150 S2050 V3050 R4050 Q5050"; // with two, or arity from a type

/** One letter for each opcode; `.` where there is none. */
function shaped(letters: string): Instructions {
  const made: Instructions = {
    immediate: new Uint8Array(256).fill(UNKNOWN),
    trailing: new Uint8Array(256),
    pops: new Uint8Array(256),
    pushes: new Uint8Array(256),
    cost: new Uint8Array(256).fill(1),
    bulk: new Uint8Array(256),
    makesNan: new Uint8Array(256),
    absorbsNan: new Uint8Array(256),
  };
  for (let op = 0; op < letters.length; op++) {
    const at = SHAPES.indexOf(letters[op]!);
    if (at < 0) continue;
    const digit = (n: number) => Number.parseInt(SHAPES[at + n]!, 36);
    made.pops[op] = digit(1);
    made.pushes[op] = digit(2);
    made.immediate[op] = digit(3);
    made.trailing[op] = digit(4);
  }
  return made;
}

/** Gives every entry in `ranges`, each a first and a last opcode, the value. */
function mark(entries: Uint8Array, value: number, ...ranges: number[]): void {
  for (let n = 0; n < ranges.length; n += 2) entries.fill(value, ranges[n], ranges[n + 1]! + 1);
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
// Comparisons, arithmetic, truncations to integers, promotion and demotion. Not abs, neg, copysign: bit operations.
mark(CORE.absorbsNan, 0b1111, 0x1a, 0x1a); // drop
mark(CORE.absorbsNan, 1 << F32, 0x5b, 0x60, 0x8d, 0x97, 0xa8, 0xa9, 0xae, 0xaf, 0xbb, 0xbb);
mark(CORE.absorbsNan, 1 << F64, 0x61, 0x66, 0x9b, 0xa5, 0xaa, 0xab, 0xb0, 0xb1, 0xb6, 0xb6);
mark(CORE.makesNan, 1 + F32, 0x8d, 0x97, 0xb6, 0xb6);
mark(CORE.makesNan, 1 + F64, 0x9b, 0xa5, 0xbb, 0xbb);

/** Instructions after the prefix 0xfb: garbage collection. */
export const GC = shaped("NgGGGSjeNJJjjjvuqQRReeeezzuuuuu");
mark(GC.bulk, 1, 0x06, 0x07, 0x09, 0x0a, 0x10, 0x13);

/** Instructions after the prefix 0xfc: saturating truncations, then bulk instructions. */
export const MISC = shaped("uuuuuuuuVoVvVoVjgv");
mark(MISC.bulk, 1, 0x08, 0x08, 0x0a, 0x0c, 0x0e, 0x0f, 0x11, 0x11);
mark(MISC.absorbsNan, 1 << F32, 0x00, 0x01, 0x04, 0x05);
mark(MISC.absorbsNan, 1 << F64, 0x02, 0x03, 0x06, 0x07);

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
// As in CORE; pmin and pmax are selections.
mark(SIMD.absorbsNan, 1 << F32X4, 0x41, 0x46, 0x5f, 0x5f, 0x67, 0x6a, 0xe3, 0xe9, 0xf8, 0xf9);
mark(SIMD.absorbsNan, 1 << F64X2, 0x47, 0x4c, 0x5e, 0x5e, 0x74, 0x75, 0x7a, 0x7a, 0x94, 0x94, 0xef, 0xf5, 0xfc, 0xfd);
mark(SIMD.makesNan, 1 + F32X4, 0x5e, 0x5e, 0x67, 0x6a, 0xe3, 0xe9);
mark(SIMD.makesNan, 1 + F64X2, 0x5f, 0x5f, 0x74, 0x75, 0x7a, 0x7a, 0x94, 0x94, 0xef, 0xf5);
