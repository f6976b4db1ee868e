/**
 * What instructions look like (WebAssembly 3.0, section 5.4): their immediates, and how many operands each takes and
 * leaves. By opcode, in four sets: the core, and one for each prefix.
 */

// Which immediates follow an opcode.
export const NONE = 0;
export const LEB = 1;
export const MEMARG = 2;
export const FOUR = 3;
export const EIGHT = 4;
/** Those that have to be decoded case by case. */
export const SPECIAL = 5;
/** There is no such instruction. */
export const UNKNOWN = 6;

export interface Instructions {
  immediate: Uint8Array;
  /** Bytes of immediates after that, or instead of it. */
  trailing: Uint8Array;
  pops: Uint8Array;
  pushes: Uint8Array;
}

/**
 * What the letters of the tables below mean. Each has four digits in base 36: operands, results, which of the
 * immediates above, and how many bytes of immediates follow those.
 */
const SHAPES =
  "n0000 z0050 d1000 u1100 b2100 t3100 " + // nop, special, drop, unary, binary, ternary
  "g0110 p1010 e1110 w2010 " + // gets and constants, sets, local.tee and the like, table.set
  "f0130 i0140 m1120 s2020 " + // constants of four and of eight bytes, loads, stores
  "c010g h210g x1101 r2101 l2121 k2021 " + // v128.const, shuffle; lanes: extract, replace, load, store
  "o0010 j2110 v3010 q4010 " + // with one index: drops of segments; array.new and get; array.set, fills; array.fill
  "N0150 G1150 J2150 S2050 V3050 R4050 Q5050"; // with two, or arity from a type

/** @param letters one for each opcode; `.` where there is none */
function shaped(letters: string): Instructions {
  const made: Instructions = {
    immediate: new Uint8Array(256).fill(UNKNOWN),
    trailing: new Uint8Array(256),
    pops: new Uint8Array(256),
    pushes: new Uint8Array(256),
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

/** Garbage collection. */
export const GC = shaped("NgGGGSjeNJJjjjvuqQRReeeezzuuuuu");

/** Saturating truncations, then bulk instructions. */
export const MISC = shaped("uuuuuuuuVoVvVoVjgv");

/** Vectors. */
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
