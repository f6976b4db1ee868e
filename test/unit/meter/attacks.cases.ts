/** What a guest may try against the meter, in Node and in browsers: each test is one attempt. */
import { describe, expect, test } from "vitest";
import { attach, instrument, type MeterOptions } from "../../../src/meter/index.ts";
import { binary, section, wat } from "./assemble.ts";
import { runMetered, runPlain } from "./harness.ts";

const ENV = `
  (import "env" "log" (func $log (param i32)))
  (import "env" "again" (func $host_again (param i32)))
  (import "env" "exit" (func $exit (param i32)))`;

/** Programs that never end. Natively some would overflow the stack; the meter stops them before that. */
const ENDLESS: Record<string, string> = {
  "an empty loop": '(func (export "main") (loop (br 0)))',
  "a loop with a result": '(func (export "main") (result i32) (loop (result i32) (br 0)))',
  "a loop that carries a value": '(func (export "main") (drop (i32.const 1) (loop (param i32) (result i32) (br 0))))',
  "a conditional loop": '(func (export "main") (loop (br_if 0 (i32.const 1))))',
  "a br_table": '(func (export "main") (loop (br_table 0 0 (i32.const 7))))',
  "a loop around a loop": '(func (export "main") (loop (loop) (block (br 1))))',
  "a loop of floating point": `(func (export "main") (local f64)
    (loop (local.set 0 (f64.add (f64.mul (local.get 0) (f64.const 1.5)) (f64.const 1))) (br 0)))`,
  "recursion through tail calls": '(func $f (export "main") (return_call $f))',
  "tail calls through a table":
    '(type $t (func)) (table funcref (elem 0)) (func (export "main") (return_call_indirect (type $t) (i32.const 0)))',
  "calls to the host": `${ENV} (func (export "main") (loop (call $log (i32.const 1)) (br 0)))`,
  "calls to a leaf": '(func $leaf) (func (export "main") (loop (call $leaf) (br 0)))',
  "exponential calls": `(func $a (call $b) (call $b)) (func $b (call $c) (call $c)) (func $c (call $d) (call $d)) (func $d (call $e) (call $e))
    (func $e (call $f) (call $f)) (func $f (call $g) (call $g)) (func $g (call $h) (call $h)) (func $h (call $i) (call $i))
    (func $i (call $j) (call $j)) (func $j (call $k) (call $k)) (func $k (call $l) (call $l)) (func $l (call $m) (call $m))
    (func $m (call $n) (call $n)) (func $n (call $o) (call $o)) (func $o (call $p) (call $p)) (func $p)
    (func (export "main") (loop (call $a) (br 0)))`,
  "exceptions thrown and caught": '(tag $t) (func (export "main") (loop (try (do (throw $t)) (catch_all)) (br 0)))',
  "a loop inside catch_all": '(tag $t) (func (export "main") (try (do (throw $t)) (catch_all (loop (br 0)))))',
  "a catch_all around an endless loop": '(func (export "main") (loop (try (do (loop (br 0))) (catch_all)) (br 0)))',
  "bulk instructions of no length":
    '(memory 1) (func (export "main") (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (br 0)))',
  "long bulk instructions":
    '(memory 1) (func (export "main") (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0)))',
  "growing memory": '(memory 1) (func (export "main") (loop (drop (memory.grow (i32.const 0))) (br 0)))',
  "a start function": '(func $s (loop (br 0))) (start $s) (func (export "main"))',
  "a start function that is exported": '(func $s (export "main") (loop (br 0))) (start $s)',
};

export function attackCases(): void {
  describe.each(Object.entries(ENDLESS))("%s", (_, text) => {
    const bytes = wat(`(module ${text})`);
    const sets: MeterOptions[] = [{}, { resumable: true }, { resumable: true, stackDepth: 30_000, nan: true }];

    test("ends when the fuel is spent", () => {
      for (const options of sets) {
        for (const slice of options.resumable ? [undefined, 999] : [undefined]) {
          const outcome = runMetered(bytes, [], options, { fuel: 100_000, ...(slice && { slice }) });
          expect(outcome).toMatchObject({ result: "exhausted", fuel: 100_000 });
        }
      }
    });

    test("is stopped at a refill, and stays stopped", () => {
      let refills = 0;
      const outcome = runMetered(bytes, [], sets[2]!, { slice: 1000, onRefill: () => ++refills < 20 });
      expect(outcome.result).toMatch(/^trap .*unreachable/i); // in each engine's own words
      expect(refills).toBe(20);
      expect(outcome.fuel).toBeGreaterThan(19_000);
      const { main, "vak:start": start = main } = outcome.exports;
      expect(start as () => void).toThrow(WebAssembly.RuntimeError);
    });
  });

  test("endless recursion ends at the same depth, however it is called", () => {
    const bytes = wat(`(module (global $n (mut i32) (i32.const 0)) (export "n" (global $n))
      (func $f (export "main") (param i32 f64) (local i64) (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (call $f (local.get 0) (local.get 1))))`);
    const { result, exports, meter } = runMetered(bytes, [1, 2], { stackDepth: 1000 });
    expect(result).toBe("overflowed");
    // 4 + two parameters and a local + an operand stack of two.
    expect((exports.n as WebAssembly.Global).value).toBe(Math.floor(1000 / 9));
    expect(() => (exports.main as (a: number, b: number) => void)(1, 2)).toThrow(WebAssembly.RuntimeError);
    meter.resetDepth();
    expect(meter.overflowed).toBe(false);
  });

  test("vectors count twice, big frames count without a call, small leaves do not", () => {
    const limited = (text: string, stackDepth: number) =>
      runMetered(wat(`(module ${text})`), [], { stackDepth }).result;
    const vectors = '(func (export "main") (local v128 v128) (call 1)) (func)';
    expect(limited(vectors, 8)).toBe("ok undefined");
    expect(limited(vectors, 7)).toBe("overflowed");
    const big = `(func (export "main") (local ${"i64 ".repeat(1000)}))`;
    expect(limited(big, 1004)).toBe("ok undefined");
    expect(limited(big, 1003)).toBe("overflowed");
    expect(limited('(func (export "main") (local i32))', 0)).toBe("ok undefined");
  });

  test("tail calls, returns and exceptions restore the depth", () => {
    const bytes = wat(`(module (tag $t)
      (func $tail (param i32) (if (i32.eqz (local.get 0)) (then (return))) (return_call $tail (i32.sub (local.get 0) (i32.const 1))))
      (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))) (throw $t))
      (func $early (param i32) (result i32) (if (local.get 0) (then (return (i32.const 1)))) (call $early (i32.const 1)))
      (func (export "main") (local $i i32)
        (loop $l
          (try (do (call $deep (i32.const 10))) (catch_all))
          (try (do (try (do (call $deep (i32.const 10))) (delegate 0))) (catch $t))
          (call $tail (i32.const 100))
          (drop (call $early (i32.const 0)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))))`);
    const { result, meter, exports } = runMetered(bytes, [], { stackDepth: 120 });
    expect({ result, overflowed: meter.overflowed }).toEqual({ result: "ok undefined", overflowed: false });
    expect((exports["vak:depth"] as () => number)()).toBe(120);
  });

  const catching = wat(`(module (tag $t)
    (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))) (throw $t))
    (func (export "main") (local $i i32)
      (block $done
        (loop $l
          (br_if $done (i32.eq (local.get $i) (i32.const 1000)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (block $b (try_table (catch_all $b) (call $deep (i32.const 10))))
          (try_table (catch_all $l) (call $deep (i32.const 10)))))))`);
  const newer = WebAssembly.validate(catching);
  test.skipIf(!newer)(
    `depth is given back by exceptions to blocks and loops${newer ? "" : " (skipped: no try_table here)"}`,
    () => {
      const { result, meter, exports } = runMetered(catching, [], { stackDepth: 120 });
      expect({ result, overflowed: meter.overflowed }).toEqual({ result: "ok undefined", overflowed: false });
      expect((exports["vak:depth"] as () => number)()).toBe(120);
    },
  );

  test("a branch out of the function restores its depth too", () => {
    const bytes = wat(
      `(module (func $f (param i32) (result i32) (call $g) (block (br_table 0 1 0 (local.get 0)) ) (br_if 0 (i32.const 3) (local.get 0)) (br 0 (i32.const 4)))
      (func $g) (func (export "main") (result i32) (local i32)
        (loop (drop (call $f (i32.and (local.get 0) (i32.const 3)))) (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 500)))) (local.get 0)))`.replace(
        "(br_table 0 1 0 (local.get 0)) ",
        "(br_if 0 (local.get 0)) ",
      ),
    );
    const { result, exports } = runMetered(bytes, [], { stackDepth: 60 });
    expect(result).toBe("ok 500");
    expect((exports["vak:depth"] as () => number)()).toBe(60);
  });

  test("a JavaScript frame that swallows the trap does not help a guest to survive exhaustion", () => {
    const bytes = wat(`(module ${ENV}
      (func (export "again") (param i32) (loop (br 0)))
      (func (export "main") (loop $l (call $host_again (i32.const 1)) (call $log (i32.const 2)) (br $l))))`);
    for (const options of [{}, { resumable: true }]) {
      const { result, log } = runMetered(bytes, [], options, { fuel: 5000 });
      expect({ result, log }).toEqual({ result: "exhausted", log: ["again 1"] });
    }
  });

  test("a stop from inside an import cannot be caught", () => {
    const bytes = wat(`(module ${ENV} (memory (export "memory") 1)
      (func (export "main")
        (try (do (call $exit (i32.const 1))) (catch_all (i32.store (i32.const 0) (i32.const 1))))
        (loop $l (call $log (i32.const 2)) (br $l))))`);
    const { bytes: metered } = instrument(bytes, { fuel: true });
    const log: number[] = [];
    const env = {
      log: (value: number) => meter.exhausted || log.push(value),
      again: () => {},
      exit: () => {
        meter.stop();
        throw new Error("exit");
      },
    };
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(metered), { env });
    const meter = attach(exports, { fuel: 1e9 });
    expect(() => (exports.main as () => void)()).toThrow(WebAssembly.RuntimeError);
    expect(log).toEqual([]);
    expect(meter).toMatchObject({ stopped: true, exhausted: true });
    // try, i32.const, call, and 1 for the entry.
    expect(meter.used).toBe(4);
    expect(meter.grant(1000)).toBe(false);
  });

  test("a guest cannot name what the meter appends: such a module is not valid", () => {
    const reach: [string, (n: number) => string][] = [
      ["global.get", (n) => `(func (drop (global.get ${n})))`],
      ["global.set", (n) => `(func (global.set ${n} (i64.const 0x7fffffffffffffff)))`],
      ["call", (n) => `(func (call ${n} (f64.const 1e18)))`],
      ["call_indirect", (n) => `(func (call_indirect ${n} (i32.const 0)))`],
      ["table.set", (n) => `(func (table.set ${n} (i32.const 0) (ref.null func)))`],
      ["ref.func", (n) => `(func (drop (ref.func ${n})))`],
      ["export", (n) => `(func) (export "x" (global ${n}))`],
      ["element", (n) => `(table 1 funcref) (elem (i32.const 0) ${n})`],
      ["type", (n) => `(func (type ${n}))`],
    ];
    let tried = 0;
    for (const [, text] of reach) {
      for (let n = 0; n < 12; n++) {
        const bytes = wat(`(module ${text(n)})`);
        if (WebAssembly.validate(bytes)) continue;
        tried++;
        expect(() => instrument(bytes, { fuel: true, resumable: true, stackDepth: 100 })).toThrow(/valid/);
      }
    }
    expect(tried).toBeGreaterThan(90);
  });

  test.each([
    ["f32.demote_f64", "i32", "i32.reinterpret_f32", "f64.reinterpret_i64", "i64", 0x7ffc_dead_beef_0000n, 0x7fc0_0000],
    [
      "f64.promote_f32",
      "i64",
      "i64.reinterpret_f64",
      "f32.reinterpret_i32",
      "i32",
      0x7fed_cba9,
      0x7ff8_0000_0000_0000n,
    ],
  ])("%s gives the canonical NaN", (op, result, out, into, from, given, expected) => {
    const bytes = wat(
      `(module (func (export "main") (param ${from}) (result ${result}) (${out} (${op} (${into} (local.get 0))))))`,
    );
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(instrument(bytes, { nan: true }).bytes));
    expect((exports.main as (bits: unknown) => unknown)(given)).toBe(expected);
  });

  test("the counter is not one of the guest's globals, imported or its own", () => {
    const bytes = wat(`(module (import "env" "g" (global $imported (mut i64))) (global $own (mut i64) (i64.const 5))
      (func (export "main") (result i64)
        (loop $l
          (global.set $own (i64.const 0x7fffffffffffff))
          (global.set $imported (i64.add (global.get $imported) (i64.const 1)))
          (br_if $l (i64.lt_u (global.get $imported) (i64.const 10))))
        (global.get $own)))`);
    const g = new WebAssembly.Global({ value: "i64", mutable: true }, 0n);
    const metered = instrument(bytes, { fuel: true, resumable: true, stackDepth: 100 });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(metered.bytes), { env: { g } });
    const meter = attach(exports, { fuel: 1e6 });
    expect((exports.main as () => bigint)()).toBe(0x7fffffffffffffn);
    expect(g.value).toBe(10n);
    // The entry, ten times ten instructions, and the last.
    expect(meter.used).toBe(1 + 10 * 10 + 1);
  });

  test("padded integers and prefix opcodes are read as the engine reads them", () => {
    // i32.const 5 (padded) loop { br_if 0 … } with the sub-opcode of i32.trunc_sat_f32_s (0xfc 0x00) padded to four
    // bytes.
    const code = [
      ...[1, 0x81, 0x80, 0x00, 0x7f], // one group of one local, the count padded
      ...[0x41, 0x85, 0x80, 0x80, 0x00, 0x21, 0x80, 0x00],
      ...[0x03, 0x40, 0x43, 0, 0, 0x80, 0x3f, 0xfc, 0x80, 0x80, 0x80, 0x00, 0x1a],
      ...[0x20, 0x80, 0x80, 0x00, 0x41, 0x01, 0x6b, 0x22, 0x00, 0x0d, 0x80, 0x00, 0x0b, 0x20, 0x00, 0x0b],
    ];
    const bytes = binary(
      section(1, [0x81, 0x00, 0x60, 0, 1, 0x7f]),
      section(3, [1, 0x80, 0x00]),
      section(7, [1, 4, 0x6d, 0x61, 0x69, 0x6e, 0, 0]),
      section(10, [1, 0x80 | code.length, 0x00, ...code]),
    );
    expect(runPlain(bytes, []).result).toBe("ok 0");
    // 1 entry, 2 to set, 5 × 7 (f32.const, trunc, get, const, sub, tee, br_if), 1 get.
    expect(runMetered(bytes, [], {}).fuel).toBe(1 + 2 + 35 + 1);
    expect(runMetered(bytes, [], { resumable: true, stackDepth: 100, nan: true }, { slice: 1 }).fuel).toBe(39);
  });

  test("a bulk instruction is charged and checked before it runs", () => {
    const bytes = wat(`(module (memory (export "memory") 1)
      (func (export "main") (memory.fill (i32.const 0) (i32.const 7) (i32.const 1000))))`);
    const first = ({ exports }: { exports: WebAssembly.Exports }) =>
      new Uint8Array((exports.memory as WebAssembly.Memory).buffer)[0];
    // 1 entry, 3 constants, 1 instruction, 1000 bytes.
    for (const options of [{}, { resumable: true }]) {
      const enough = runMetered(bytes, [], options, { fuel: 1005 });
      expect([enough.result, first(enough)]).toEqual(["ok undefined", 7]);
      const short = runMetered(bytes, [], options, { fuel: 1004 });
      expect([short.result, first(short)]).toEqual(["exhausted", 0]);
    }
  });

  test("the length of a bulk instruction cannot make the counter wrap", () => {
    const bytes = wat(
      '(module (memory i64 1) (func (export "main") (memory.fill (i64.const 0) (i32.const 0) (i64.const -1))))',
    );
    if (!WebAssembly.validate(bytes)) return expect(() => instrument(bytes)).toThrow(/valid/);
    const { result, exports } = runMetered(bytes, [], {}, { fuel: 1e12 });
    expect(result).toBe("exhausted");
    for (let n = 0; n < 100; n++) expect(() => (exports.main as () => void)()).toThrow(WebAssembly.RuntimeError);
    expect((exports["vak:fuel"] as () => number)()).toBeLessThan(0);
  });

  test("the length of a bulk instruction on a 64-bit memory or table is charged", () => {
    const bytes = wat(`(module (memory $m i64 1) (memory $n 1)
      (func (export "main")
        (memory.fill $m (i64.const 0) (i32.const 0) (i64.const 100))
        (memory.copy $m $m (i64.const 0) (i64.const 0) (i64.const 200))
        (memory.copy $m $n (i64.const 0) (i32.const 0) (i32.const 300))))`);
    if (!WebAssembly.validate(bytes)) return expect(() => instrument(bytes)).toThrow(/valid/);
    expect(runMetered(bytes, [], {})).toMatchObject({ result: "ok undefined", fuel: 1 + 12 + 600 });
  });

  test.each([
    [
      "atomic instructions",
      "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))",
      /^an atomic instruction \(threads\) in function 0 is not admitted/,
    ],
    ["a fence", "(func (atomic.fence))", /^an atomic instruction \(threads\) in function 0 is not admitted/],
    ["a shared memory", "(memory 1 1 shared)", /shared memory \(threads\)/],
  ])("%s are refused by name", (_, text, message) => {
    expect(() => instrument(wat(`(module ${text})`))).toThrow(message);
  });

  test("relaxed SIMD is refused by name, where the engine has it", () => {
    const bytes = wat("(module (func (param v128) (drop (f32x4.relaxed_min (local.get 0) (local.get 0)))))");
    expect(() => instrument(bytes)).toThrow(
      WebAssembly.validate(bytes) ? /^relaxed SIMD in function 0 is not admitted/ : /not a valid/,
    );
  });

  test("limits that a JavaScript number cannot hold are kept to the bit", () => {
    const most = [...Array<number>(9).fill(0xff), 0x01];
    const bytes = binary(section(4, [1, 0x70, 0x05, 0x00, ...most]));
    if (!WebAssembly.validate(bytes)) return expect(() => instrument(bytes)).toThrow(/valid/);
    expect(instrument(bytes, { fuel: true }).bytes.join()).toContain(most.join());
    expect(WebAssembly.validate(instrument(bytes, { fuel: true, resumable: true, tableElements: 10 }).bytes)).toBe(
      true,
    );
  });

  test("nesting is metered up to the limit, and refused beyond it", () => {
    const nested = (depth: number) =>
      binary(
        section(1, [1, 0x60, 0, 0]),
        section(3, [1, 0]),
        section(7, [1, 4, 0x6d, 0x61, 0x69, 0x6e, 0, 0]),
        section(10, [
          1,
          ...leb(2 + depth * 3),
          0,
          ...Array(depth).fill([0x02, 0x40]).flat(),
          ...Array(depth + 1).fill(0x0b),
        ]),
      );
    const { bytes } = instrument(nested(50_000), { fuel: true, stackDepth: 1000 });
    expect(WebAssembly.validate(bytes)).toBe(true);
    expect(() => instrument(nested(60_001))).toThrow(/function 0 has blocks more than 60000 deep/);
  });
}

const leb = (value: number): number[] => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)]);
