/** Capturing a program's stack, and resuming from it. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { describe, expect, test } from "vitest";
import { attach, instrument } from "../../../src/meter/index.ts";
import { type Capture, Capturer } from "../../../src/replay/capturer.ts";
import { type Capturable, makeCapturable } from "../../../src/replay/stack/capturable.ts";
import * as External from "../../../src/wasm/external.ts";
import * as Op from "../../../src/wasm/opcode.ts";
import * as Section from "../../../src/wasm/section.ts";
import * as Type from "../../../src/wasm/type.ts";
import { Writer } from "../../../src/wasm/writer.ts";
import { generate } from "../../e2e/replay/generate.ts";
import { loadGuest } from "../../guests/load.ts";
import { wat } from "../meter/assemble.ts";

const STACK_DEPTH = 10_000;

const meter = (program: Uint8Array) =>
  instrument(program, { fuel: true, resumable: true, nan: true, stackDepth: STACK_DEPTH, memoryBytes: 2 ** 24 });

/** What a program does whose imports return numbers that depend on how often they were called before. */
async function execute(
  bytes: Uint8Array<ArrayBuffer>,
  capturing?: { program: Capturable; every: number; onCapture?: (capture: Capture, calls: number) => void },
  from?: { capture: Capture; calls: number },
) {
  const module = await WebAssembly.compile(bytes);
  let calls = from?.calls ?? 0;
  const imports: Record<string, Record<string, () => number>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = () => (calls++ * 7) % 5;
  }
  const { exports } = await WebAssembly.instantiate(module, imports);
  const counter = attach(exports, { fuel: 2_000_000, slice: from?.capture.granted ?? 1 });
  const capturer =
    capturing &&
    new Capturer(
      capturing.program,
      { every: capturing.every, after: 0 },
      STACK_DEPTH,
      (capture) => capturing.onCapture?.(capture, calls),
      from?.capture,
    );
  capturer?.attach(counter, exports);
  counter.refillWith(() => {
    if (!counter.exhausted && !capturer?.refill()) counter.grant(capturing ? Math.ceil(capturing.every / 2) : 1000);
  });
  let end = "returned";
  try {
    do (exports._start as () => void)();
    while (capturer?.again());
  } catch (error) {
    end = (error as Error).message;
  }
  const memory = exports.memory as WebAssembly.Memory;
  const { used, exhausted, overflowed } = counter;
  const contents = bytesToHex(sha256(new Uint8Array(memory.buffer)));
  return { end, used, exhausted, overflowed, calls, contents, pages: memory.buffer.byteLength / 65_536 };
}

/** Captured wherever possible, a program does the same; and so does a fresh instance that resumes from a capture. */
async function check(program: Uint8Array, every = 1): Promise<number> {
  const metered = meter(program);
  const capturable = makeCapturable(metered.bytes)!;
  expect(WebAssembly.validate(capturable.bytes)).toBe(true);
  const plain = await execute(metered.bytes);
  const captures: { capture: Capture; calls: number }[] = [];
  const onCapture = (capture: Capture, calls: number) => captures.push({ capture: { ...capture }, calls });
  expect(await execute(capturable.bytes, { program: capturable, every, onCapture })).toEqual(plain);
  const step = Math.ceil(captures.length / 6);
  for (let n = 0; n < captures.length; n += step) {
    const resumed = await execute(capturable.bytes, { program: capturable, every: 5000 }, captures[n]);
    expect(resumed).toEqual(plain);
  }
  return captures.length;
}

/** Runs `body`, which leaves an i64 and calls functions that call themselves, and writes its results to memory. */
const program = (body: string, more = "") => `(module
  (import "host" "number" (func $number (result i32)))
  (memory (export "memory") 2)
  (global $g (mut i64) (i64.const 1))
  (global $nan (mut f64) (f64.const nan:0x4000000000001))
  (type $unary (func (param i32) (result i32)))
  (table 2 funcref) (elem (i32.const 0) $deep $odd)
  (func $deep (param i32) (result i32)
    (global.set $g (i64.add (i64.rotl (global.get $g) (i64.const 7)) (i64.extend_i32_s (call $number))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (drop (call_indirect (type $unary) (i32.const 0) (i32.const 1)))))
    (if (result i32) (local.get 0)
      (then (i32.add (local.get 0) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 1))))
  (func $odd (param i32) (result i32)
    (i32.xor (i32.const 85) (call_indirect (type $unary) (i32.shr_u (local.get 0) (i32.const 1)) (i32.const 0))))
  ${more}
  (func $body (param i32) (result i64) (local i32 i64 f32 f64 v128) ${body})
  (func (export "_start") (local i32)
    (loop
      (i64.store (i32.const 65528) (i64.xor (i64.load (i32.const 65528)) (call $body (local.get 0))))
      (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 6))))
    (i64.store (i32.const 65520) (global.get $g))
    (f64.store (i32.const 65512) (global.get $nan))))`;

describe("a program that is captured at each check, and resumed from there in another instance, does the same:", () => {
  test.each([
    ["an operand below a call", "(i64.extend_i32_s (i32.sub (call $number) (call $deep (local.get 0))))"],
    [
      "operands of all types below an indirect call",
      `(i64.reinterpret_f64 (global.get $nan)) (f32.reinterpret_i32 (i32.const 0x7fa00001)) (f64.reinterpret_i64 (i64.const 0x7ff4000000000001))
       (i64x2.splat (i64.const 0x7ff4000000000001)) (i32.const 3)
       (call_indirect (type $unary) (local.get 0) (i32.and (local.get 0) (i32.const 1)))
       i32.add (local.set 1) (i64x2.extract_lane 1) (local.set 2) i64.reinterpret_f64 (local.get 2) i64.xor (local.set 2)
       i32.reinterpret_f32 i64.extend_i32_u (local.get 2) i64.add i64.xor (i64.extend_i32_u (local.get 1)) i64.add`,
    ],
    [
      "locals of all types",
      `(local.set 1 (i32.const -5)) (local.set 2 (i64.const 0x123456789abcdef)) (local.set 3 (f32.const -nan:0x200001))
       (local.set 4 (f64.const nan:0x4000000000123)) (local.set 5 (v128.const i64x2 7 0x7ff0000000000001))
       (drop (call $deep (local.get 0)))
       (i64.add (i64.xor (i64.extend_i32_u (i32.reinterpret_f32 (local.get 3))) (i64.reinterpret_f64 (local.get 4)))
         (i64.xor (i64x2.extract_lane 1 (local.get 5)) (i64.mul (local.get 2) (i64.extend_i32_s (local.get 1)))))`,
    ],
    [
      "operands below blocks, loops and branches",
      `(i64.const 5) (i32.const 9)
       (block $out (result i32) (loop (result i32)
         (i32.const 2) (call $deep (i32.const 2)) i32.add
         (br_if $out (i32.gt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (local.get 0)))
         drop (br 0)))
       i32.add
       (i32.const 3) (call $deep (i32.const 1))
       (if (result i32) (i32.and (local.get 0) (i32.const 1))
         (then (call $odd (i32.const 3))) (else (i32.const 2) (call $deep (i32.const 1)) i32.mul))
       i32.add i32.sub i32.mul i64.extend_i32_u i64.add`,
    ],
    [
      "a table of branches out of nested blocks, and what is never run",
      `(block $a (block $b (block $c (br_table $a $b $c $a (i32.rem_u (local.get 0) (i32.const 4))))
         (local.set 2 (i64.extend_i32_u (call $deep (i32.const 4)))) (br $a) (drop (call $deep (i32.const 1))))
         (local.set 2 (i64.const 77)) (loop (drop (call $odd (i32.const 2))) (br_if 0 (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 3)))))
       (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i64.add (local.get 2) (i64.extend_i32_u (call $deep (i32.const 2)))))))
       (local.get 2)`,
    ],
    [
      "blocks with parameters, and functions with several results",
      `(i64.const 3) (i32.const 8) (call $two)
       (block (param i32) (result i32) (call $deep) (loop (param i32) (result i32) (call $odd)))
       i64.extend_i32_u i64.add (local.set 2) drop (local.get 2) i64.add`,
      "(func $two (result i64 i32) (i64.const 4) (call $deep (i32.const 3)))",
    ],
  ])("%s", async (_name, body, more = "") => {
    expect(await check(wat(program(body, more)))).toBeGreaterThan(12);
  });

  test("a loop that calls nothing; a start function", async () => {
    const loop = "(loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 400))))";
    const spin = `(module (memory (export "memory") 1) (func $s (local i32) ${loop}) (start $s) (func (export "_start") (local i32) ${loop}
      (i32.store (i32.const 8) (local.get 0))))`;
    expect(await check(wat(spin))).toBeGreaterThan(300);
  });

  test("25 random programs", async () => {
    let captures = 0;
    for (let seed = 1; seed <= 25; seed++) captures += await check(wat(generate(seed)), 997);
    expect(captures).toBeGreaterThan(100);
  });

  test("programs in C", async () => {
    for (const guest of ["busy", "files", "floats", "random"]) await check(await loadGuest(guest), 20_011);
  });
});

describe("what cannot be captured", () => {
  test.each([
    ["a table that changes", '(table 2 funcref) (func (export "_start") (table.set (i32.const 0) (ref.null func)))'],
    ["a reference in a local", '(func (export "_start") (local externref))'],
    ["a tail call", '(func $f) (func (export "_start") (return_call $f))'],
    ["a segment that is dropped", '(data $d "x") (func (export "_start") (data.drop $d))'],
    ["an exception", '(tag $e) (func (export "_start") (throw $e))'],
  ])("%s: the module is not rewritten", (_name, code) => {
    expect(makeCapturable(meter(wat(`(module (memory (export "memory") 1) ${code})`)).bytes)).toBe(undefined);
  });

  test("attack: a memory too small for the frames of a deep stack is not written over", async () => {
    const deep = `(module (memory (export "memory") 1) (func $f (param i32) (result i32)
        (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
        (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (loop (result i32) (call $leaf)))))
      (func $leaf (result i32) (i32.const 0))
      (func (export "_start") (i32.store (i32.const 0) (call $f (i32.const 400))) (i32.store (i32.const 65532) (call $f (i32.const 30)))))`;
    expect(await check(wat(deep))).toBeGreaterThan(12);
  });
});

test("attack: a function with more callers than a function takes arguments", () => {
  const count = 140_000; // V8 takes some 125,000
  const vector = (items: number[]) => new Writer().vector(count, items).written();
  const repeat = (item: number[], times: number) => Array.from({ length: times }, () => item).flat();
  // The first function calls the second in a loop; all others call the first.
  const looping = [7, 0, Op.loop, Type.empty, Op.call, 1, Op.end, Op.end];
  const calling = [4, 0, Op.call, 0, Op.end];
  const out = new Writer().raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  out.section(Section.type, new Writer().vector(1, [Type.func, 0, 0]).written());
  out.section(Section.function, vector(repeat([0], count)));
  out.section(Section.memory, Uint8Array.of(1, 0, 1));
  const exports = new Writer().byte(2).name("memory").byte(External.memory).byte(0);
  out.section(Section.export, exports.name("_start").byte(External.func).byte(0).written());
  out.section(Section.code, vector(looping.concat(repeat(calling, count - 1))));
  expect(makeCapturable(meter(out.written().slice()).bytes)).toBeDefined();
});
