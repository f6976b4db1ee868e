/**
 * Makes random programs: each works, computes with awkward floats, and uses files, clock, random numbers and a tool.
 */

/** Numbers from 0 up to but not including `n`, the same for the same seed (a linear congruential generator). */
function numbers(seed: number): (n: number) => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const FUNCTIONS = 4;
/** Addresses in memory; what the program itself uses is below 4096. */
const AT = {
  out: 4096,
  iovec: 4104,
  text: 4128,
  path: 4200,
  subscription: 4224,
  event: 4288,
  answer: 5000,
  bytes: 4400,
};

const head = `
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "vak" "call" (func $call (param i32 i32) (result i32)))
  (import "vak" "answer" (func $answer (param i32) (result i32)))
  (memory (export "memory") 1 9)
  (global $s (mut i64) (i64.const 88172645463325252))
  (global $depth (mut i32) (i32.const 0))
  (table 4 funcref) (elem (i32.const 0) $f0 $f1 $f2 $f3)
  (type $f (func (param i64)))
  (data (i32.const ${AT.text}) "{\\22tool\\22:\\22add\\22,\\22input\\22:{\\22a\\22:100,\\22b\\22:7}}")
  (data (i32.const ${AT.path}) "a")
  (func $mix (param i64)
    (global.set $s (i64.add (i64.mul (global.get $s) (i64.const 6364136223846793005)) (local.get 0)))
    (global.set $s (i64.xor (global.get $s) (i64.shr_u (global.get $s) (i64.const 29)))))
  (func $pick (param i32) (result i32)
    (i32.rem_u (i32.wrap_i64 (i64.shr_u (global.get $s) (i64.const 33))) (local.get 0)))
  (func $vector (param $at i32) (param $length i32)
    (i32.store (i32.const ${AT.iovec}) (local.get $at))
    (i32.store (i32.const ${AT.iovec + 4}) (local.get $length)))
  (func $print
    (i64.store (i32.const ${AT.out}) (global.get $s))
    (call $vector (i32.const ${AT.out}) (i32.const 8))
    (drop (call $fd_write (i32.const 1) (i32.const ${AT.iovec}) (i32.const 1) (i32.const ${AT.iovec + 8}))))
  (func $open (param $flags i32) (result i32)
    (i32.store8 (i32.const ${AT.path}) (i32.add (i32.const 97) (call $pick (i32.const 3))))
    (call $mix (i64.extend_i32_s (call $path_open (i32.const 3) (i32.const 0) (i32.const ${AT.path}) (i32.const 1)
      (local.get $flags) (i64.const 0x1fffffff) (i64.const 0) (i32.const 1) (i32.const ${AT.iovec + 16}))))
    (i32.load (i32.const ${AT.iovec + 16})))
  (func $write (local $fd i32)
    (local.set $fd (call $open (i32.const 1)))
    (call $vector (call $pick (i32.const 4000)) (call $pick (i32.const 90)))
    (call $mix (i64.extend_i32_s (call $fd_write (local.get $fd) (i32.const ${AT.iovec}) (i32.const 1) (i32.const ${AT.iovec + 8}))))
    (drop (call $fd_close (local.get $fd))))
  (func $read (local $fd i32)
    (local.set $fd (call $open (i32.const 0)))
    (call $vector (i32.const ${AT.bytes}) (i32.const 64))
    (call $mix (i64.extend_i32_s (call $fd_read (local.get $fd) (i32.const ${AT.iovec}) (i32.const 1) (i32.const ${AT.iovec + 8}))))
    (call $mix (i64.load (i32.const ${AT.bytes})))
    (drop (call $fd_close (local.get $fd))))
  (func $use (local $length i32)
    (i32.store8 (i32.const ${AT.text + 27}) (i32.add (i32.const 49) (call $pick (i32.const 2))))
    (i32.store8 (i32.const ${AT.text + 28}) (i32.add (i32.const 48) (call $pick (i32.const 11))))
    (local.set $length (call $call (i32.const ${AT.text}) (i32.const 38)))
    (call $mix (i64.extend_i32_s (local.get $length)))
    (call $mix (i64.extend_i32_s (call $answer (i32.const ${AT.answer}))))
    (call $mix (i64.load (i32.add (i32.const ${AT.answer}) (call $pick (i32.const 20))))))
  (func $nap
    (i32.store (i32.const ${AT.subscription + 16}) (i32.const 1))
    (i64.store (i32.const ${AT.subscription + 24}) (i64.const 300000))
    (call $mix (i64.extend_i32_s (call $poll (i32.const ${AT.subscription}) (i32.const ${AT.event}) (i32.const 1) (i32.const ${AT.iovec + 8})))))
`;

/** A program in the text format. */
export function generate(seed: number): string {
  const next = numbers(seed);
  const one = <T>(items: readonly T[]): T => items[next(items.length)]!;
  const S = "(global.get $s)";
  const f64 = (): string =>
    one([
      `(f64.reinterpret_i64 ${S})`,
      `(f64.convert_i64_s ${S})`,
      `(f64.const ${one(["nan:0x8000000000001", "-nan", "inf", "-0", "1.5", "0x1p-1074", "nan:0x4"])})`,
      "(f64.load (i32.and (i32.wrap_i64 (global.get $s)) (i32.const 0xff8)))",
      "(f64.promote_f32 (f32.reinterpret_i32 (i32.wrap_i64 (global.get $s))))",
    ]);
  const value = (depth: number): string =>
    depth === 0
      ? one([S, "(local.get 0)", `(i64.const ${next(1000)})`, "(i64.load (i32.const 8))"])
      : one([
          `(i64.${one(["add", "sub", "mul", "xor", "rotl", "shr_s"])} ${value(depth - 1)} ${value(depth - 1)})`,
          `(i64.reinterpret_f64 (f64.${one(["add", "sub", "mul", "div", "min", "max", "copysign"])} ${f64()} ${f64()}))`,
          `(i64.reinterpret_f64 (f64.${one(["sqrt", "ceil", "nearest", "neg", "abs", "trunc"])} ${f64()}))`,
          `(i64.extend_i32_u (i32.reinterpret_f32 (f32.${one(["add", "mul", "div"])} (f32.demote_f64 ${f64()}) (f32.demote_f64 ${f64()}))))`,
          `(i64x2.extract_lane ${next(2)} (${one(["f64x2.mul", "f32x4.add", "f32x4.div", "f64x2.min", "f32x4.pmax"])} (f64x2.splat ${f64()}) (i64x2.splat ${S})))`,
          `(i64.extend_i32_s (i32.trunc_sat_f64_s ${f64()}))`,
          `(i64.extend_i32_s (memory.grow (call $pick (i32.const 2))))`,
        ]);
  const statement = (depth: number): string => {
    const body = (n: number) => Array.from({ length: 1 + next(n) }, () => statement(depth - 1)).join("\n");
    const simple = [
      ...Array<string>(6).fill(`(call $mix ${value(2)})`),
      `(i64.store (i32.and (i32.wrap_i64 ${S}) (i32.const 0xff8)) ${value(1)})`,
      "(call $print)",
      "(call $write)",
      "(call $read)",
      "(call $use)",
      "(call $nap)",
      `(drop (call $clock (i32.const ${next(4)}) (i64.const 1) (i32.const ${AT.bytes}))) (call $mix (i64.load (i32.const ${AT.bytes})))`,
      `(drop (call $random (i32.const ${AT.bytes}) (i32.const 13))) (call $mix (i64.load (i32.const ${AT.bytes})))`,
      `(memory.copy (call $pick (i32.const 2000)) (call $pick (i32.const 2000)) (call $pick (i32.const 900)))`,
      `(drop (call $unlink (i32.const 3) (i32.const ${AT.path}) (i32.const 1)))`,
    ];
    const rare = [
      "(if (i32.eqz (call $pick (i32.const 60))) (then (unreachable)))",
      "(if (i32.eqz (call $pick (i32.const 60))) (then (call $exit (call $pick (i32.const 256)))))",
      `(call $mix (i64.div_s ${value(1)} (i64.extend_i32_u (call $pick (i32.const 40)))))`,
      `(call $mix (i64.trunc_f64_s ${f64()}))`,
      `(call $mix (i64.load (i32.shr_u (i32.wrap_i64 ${S}) (i32.const 12))))`,
      `(call $f${next(FUNCTIONS)} ${value(1)})`,
      `(call_indirect (type $f) ${value(1)} (call $pick (i32.const ${one([4, 4, 4, 5])})))`,
    ];
    if (depth === 0 || next(3) > 0) return next(6) === 0 ? one(rare) : one(simple);
    return one([
      `(if (call $pick (i32.const 2)) (then ${body(3)}) (else ${body(2)}))`,
      `(block ${body(3)} (br_if 0 (call $pick (i32.const 2))) ${body(2)})`,
      `(loop (local.set 1 (i64.add (local.get 1) (i64.const 1))) ${body(2)} (br_if 0 (i64.lt_s (local.get 1) (i64.const ${next(40)}))))`,
      `(loop (local.set 1 (i64.add (local.get 1) (i64.const 1))) (global.set $s (i64.mul ${S} (i64.const 7))) (br_if 0 (i64.lt_s (local.get 1) (i64.const ${next(30_000)}))))`,
    ]);
  };
  const functions = Array.from({ length: FUNCTIONS }, (_, n) => {
    const body = Array.from({ length: 2 + next(4) }, () => statement(2)).join("\n");
    return `(func $f${n} (param i64) (local i64)
      (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
      (if (i32.gt_u (global.get $depth) (i32.const ${one([5, 20, 100_000])})) (then (return)))
      ${body})`;
  });
  const main = Array.from({ length: 4 + next(8) }, () => statement(3)).join("\n");
  return `(module ${head} ${functions.join("\n")}
    (func $main (param i64) (local i64) ${main} (call $print))
    (func (export "_start") (call $mix (i64.const ${seed})) (call $main (i64.const ${next(1e9)})) (call $print)))`;
}
