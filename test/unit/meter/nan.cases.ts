/** NaNs have the same bits in every engine, and only those whose bits an engine may choose are changed. */
import { describe, expect, test } from "vitest";
import { instrument } from "../../../src/meter/index.ts";
import { wat } from "./assemble.ts";

/** A signalling NaN with a sign and a payload, and the canonical one. */
const STRANGE = { f32: 0xffa12345n, f64: 0xfff123456789abcdn };
const CANONICAL = { f32: 0x7fc00000n, f64: 0x7ff8000000000000n };
type Float = "f32" | "f64";
const FLOATS: Float[] = ["f32", "f64"];
const integer = (float: Float) => (float === "f32" ? "i32" : "i64");
const bits = (float: Float, value: unknown) =>
  BigInt.asUintN(float === "f32" ? 32 : 64, BigInt(value as bigint | number));

/** Functions from the bits of `$x`, and of `$y`, which is 1, to the bits of their result. */
function evaluate(float: Float, body: string): bigint {
  const int = integer(float);
  const program = wat(`(module (memory 1)
    (func $id (param ${float}) (result ${float}) (local.get 0))
    (func (export "main") (param $bits ${int}) (result ${int}) (local $x ${float}) (local $y ${float}) (local $t ${float}) (local $v v128)
      (local.set $x (${float}.reinterpret_${int} (local.get $bits)))
      (local.set $y (${float}.const 1))
      ${body}))`);
  const { bytes } = instrument(program, { nan: true });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const argument = float === "f32" ? Number(STRANGE.f32) : STRANGE.f64;
  return bits(float, (exports.main as (argument: bigint | number) => unknown)(argument));
}

/** Ways to observe the bits of a value. */
const WAYS: Record<string, (float: Float, value: string) => string> = {
  reinterpreted: (float, value) => `(${integer(float)}.reinterpret_${float} ${value})`,
  stored: (float, value) => `(${float}.store (i32.const 0) ${value}) (${integer(float)}.load (i32.const 0))`,
  set: (float, value) => `(local.set $t ${value}) (${integer(float)}.reinterpret_${float} (local.get $t))`,
  teed: (float, value) =>
    `(drop (${float}.add (local.get $y) (local.tee $t ${value}))) (${integer(float)}.reinterpret_${float} (local.get $t))`,
  called: (float, value) => `(${integer(float)}.reinterpret_${float} (call $id ${value}))`,
  selected: (float, value) => `(${integer(float)}.reinterpret_${float} (select ${value} (local.get $y) (i32.const 1)))`,
  "left by a block": (float, value) => `(${integer(float)}.reinterpret_${float} (block (result ${float}) ${value}))`,
  "carried by a branch": (float, value) =>
    `(${integer(float)}.reinterpret_${float} (block (result ${float}) (br_if 0 ${value} (i32.const 1))))`,
  "beneath other values": (float, value) =>
    `(${integer(float)}.reinterpret_${float} ${value}) (drop (${float}.add (local.get $y) (local.get $y)))`,
  splat: (float, value) => {
    const shape = float === "f32" ? "f32x4" : "f64x2";
    const lanes = float === "f32" ? "i32x4" : "i64x2";
    return `(${lanes}.extract_lane 1 (${shape}.splat ${value}))`;
  },
};

export function nanCases(): void {
  describe.each(FLOATS)("%s", (float) => {
    const other = float === "f32" ? "f64" : "f32";
    const convert = float === "f32" ? "f32.demote_f64" : "f64.promote_f32";
    const back = float === "f32" ? "f64.promote_f32" : "f32.demote_f64";
    const chosen = [
      ...["ceil", "floor", "trunc", "nearest", "sqrt"].map((op) => `(${float}.${op} (local.get $x))`),
      ...["add", "sub", "mul", "div", "min", "max"].flatMap((op) => [
        `(${float}.${op} (local.get $x) (local.get $y))`,
        `(${float}.${op} (local.get $y) (local.get $x))`,
      ]),
      `(${convert} (${back} (local.get $x)))`,
      `(${convert} (${other}.sqrt (${other}.const -1)))`,
      `(${float}.sqrt (${float}.const -1))`,
      `(${float}.div (${float}.const 0) (${float}.const 0))`,
      `(${float}.sub (${float}.const inf) (${float}.const inf))`,
      `(${float}.mul (${float}.add (local.get $x) (local.get $y)) (${float}.sub (local.get $y) (local.get $x)))`,
      `(${float}.max (local.get $y) (${float}.nearest (${float}.div (${float}.const 0) (${float}.const 0))))`,
    ];

    test.each(Object.entries(WAYS))("a NaN that the engine chose is canonical when %s", (_, way) => {
      for (const value of chosen) expect(evaluate(float, way(float, value)), value).toBe(CANONICAL[float]);
    });

    test.each(Object.entries(WAYS))("a NaN that was copied keeps its bits when %s", (_, way) => {
      for (const value of ["(local.get $x)", `(select (local.get $x) (local.get $y) (i32.const 1))`]) {
        expect(evaluate(float, way(float, value)), value).toBe(STRANGE[float]);
      }
    });

    test("sign operations change only the sign, even of a NaN that the engine chose", () => {
      const see = (value: string) => evaluate(float, WAYS.reinterpreted!(float, value));
      const sign = 1n << (float === "f32" ? 31n : 63n);
      expect(see(`(${float}.abs (local.get $x))`)).toBe(STRANGE[float] & ~sign);
      expect(see(`(${float}.neg (local.get $x))`)).toBe(STRANGE[float] ^ sign);
      expect(see(`(${float}.copysign (local.get $x) (local.get $y))`)).toBe(STRANGE[float] & ~sign);
      expect(see(`(${float}.neg (${float}.add (local.get $x) (local.get $y)))`)).toBe(CANONICAL[float] | sign);
      expect(see(`(${float}.copysign (local.get $y) (${float}.add (local.get $x) (local.get $y)))`)).toBe(
        float === "f32" ? 0x3f800000n : 0x3ff0000000000000n,
      );
    });
  });

  test.each([
    ["f32x4", "f32", "i32x4"],
    ["f64x2", "f64", "i64x2"],
  ] as const)("%s", (shape, float, lanes) => {
    const splat = (name: string) => `(${shape}.splat (local.get ${name}))`;
    const see = (value: string) => evaluate(float, `(${lanes}.extract_lane 1 ${value})`);
    for (const op of ["ceil", "floor", "trunc", "nearest", "sqrt"]) {
      expect(see(`(${shape}.${op} ${splat("$x")})`), op).toBe(CANONICAL[float]);
    }
    for (const op of ["add", "sub", "mul", "div", "min", "max"]) {
      expect(see(`(${shape}.${op} ${splat("$x")} ${splat("$y")})`), op).toBe(CANONICAL[float]);
      expect(see(`(local.tee $v (${shape}.${op} ${splat("$y")} ${splat("$x")}))`), op).toBe(CANONICAL[float]);
    }
    // Selections and bit operations: pmin(a, b) is b < a ? b : a.
    expect(see(`(${shape}.pmin ${splat("$x")} ${splat("$y")})`)).toBe(STRANGE[float]);
    expect(see(`(${shape}.pmax ${splat("$x")} ${splat("$y")})`)).toBe(STRANGE[float]);
    expect(see(splat("$x"))).toBe(STRANGE[float]);
  });

  test("vectors that are converted, or read as lanes of another width, have the same bits everywhere", () => {
    const see = (value: string) => evaluate("f64", `(i64x2.extract_lane 0 ${value})`);
    expect(see("(f64x2.promote_low_f32x4 (f32x4.demote_f64x2_zero (f64x2.splat (local.get $x))))")).toBe(CANONICAL.f64);
    expect(see("(f32x4.demote_f64x2_zero (f64x2.splat (local.get $x)))") & 0xffffffffn).toBe(CANONICAL.f32);
    // The lanes of an f32x4 sum, which nothing absorbs: as f64 they are an ordinary NaN with a payload, made canonical
    // in turn.
    const sum = "(f32x4.add (f32x4.splat (f32.const nan)) (f32x4.splat (f32.const 1)))";
    expect(see(sum)).toBe(0x7fc000007fc00000n);
    expect(see(`(f64x2.abs ${sum})`)).toBe(0x7fc000007fc00000n);
    expect(see(`(f64x2.pmin ${sum} (f64x2.splat (f64.const -1)))`)).toBe(0xbff0000000000000n);
  });

  test("a NaN in a narrow lane is not absorbed by arithmetic on the wide lane around it", () => {
    // Low lane a strange NaN, high lane 1: as an f64 an ordinary number, whose last bits are the NaN's.
    const lanes = `(v128.const i32x4 ${STRANGE.f32} 0x3f800000 0 0)`;
    const sum = `(f32x4.add ${lanes} (v128.const i32x4 0 0 0 0))`;
    const product = evaluate("f64", `(i64x2.extract_lane 0 (f64x2.mul ${sum} (f64x2.splat (local.get $y))))`);
    expect(product).toBe(0x3f800000_7fc00000n);
  });

  test("copies of memory keep NaNs as they are", () => {
    expect(
      evaluate(
        "f64",
        "(f64.store (i32.const 8) (local.get $x)) (memory.copy (i32.const 0) (i32.const 8) (i32.const 8)) (i64.load (i32.const 0))",
      ),
    ).toBe(STRANGE.f64);
    expect(
      evaluate(
        "f32",
        "(f32.store (i32.const 8) (f32.load (i32.const 4))) (f32.store (i32.const 0) (local.get $x)) (i32.load (i32.const 0))",
      ),
    ).toBe(STRANGE.f32);
  });
}
