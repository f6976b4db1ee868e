/** Pausing and stopping a spinning guest through JSPI, in real engines. */
import { test as base, expect } from "vitest";
import { attach, instrument } from "../../../src/meter/index.ts";
import { wat } from "../../unit/meter/assemble.ts";

// Not yet in TypeScript's libraries.
const { Suspending, promising } = WebAssembly as unknown as {
  Suspending: new (callback: () => Promise<void>) => object;
  promising: (callback: unknown) => () => Promise<unknown>;
};
const SPIN = `(module (global $n (mut i64) (i64.const 0)) (export "n" (global $n)) (memory (export "memory") 1)
  (func (export "main") (result i32) (local $i i32)
    (loop $l
      (global.set $n (i64.add (global.get $n) (i64.const 1)))
      (i32.store (local.get $i) (i32.add (i32.load (local.get $i)) (local.get $i)))
      (local.set $i (i32.and (i32.add (local.get $i) (i32.const 4)) (i32.const 0xfffc)))
      (br_if $l (i64.lt_u (global.get $n) (i64.const 3000000))))
    (local.get $i)))`;

function load(text: string, slice?: number) {
  const { bytes } = instrument(wat(text), { fuel: true, resumable: true, stackDepth: 30_000 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const meter = attach(exports, { fuel: 1e12, ...(slice !== undefined && { slice }) });
  return { exports, meter };
}

/** WebKitGTK has no JSPI: there, shared memory stops and pauses guests (test/isolated). */
const test = base.skipIf(!Suspending);

const turn = () => new Promise<void>((resolve) => setTimeout(resolve));

test("the event loop turns while a guest spins, which makes no difference to the guest", async () => {
  const whole = load(SPIN);
  const result = (whole.exports.main as () => number)();

  const { exports, meter } = load(SPIN, 5_000_000);
  let refills = 0;
  let ticks = 0;
  const timer = setInterval(() => ticks++, 0);
  meter.refillWith(
    new Suspending(async () => {
      refills++;
      await turn();
      meter.grant(5_000_000);
    }),
  );
  expect(await promising(exports.main)()).toBe(result);
  clearInterval(timer);
  expect(meter.used).toBe(whole.meter.used);
  // Every 5 000 000 of 60 000 000 units, and none after the last check: the same in every engine.
  expect(meter.used).toBe(60_000_002);
  expect(refills).toBe(11);
  expect(ticks).toBeGreaterThan(0);
  const memories = [whole, { exports }].map(
    (instance) => new Uint8Array((instance.exports.memory as WebAssembly.Memory).buffer),
  );
  expect(memories[1]).toEqual(memories[0]);
});

test("a spinning guest is stopped from outside, and its promise settles", async () => {
  const { exports, meter } = load(
    '(module (tag) (func (export "main") (loop (try (do (loop (br 0))) (catch_all)) (br 0))))',
    100_000,
  );
  let stopped = false;
  meter.refillWith(
    new Suspending(async () => {
      await turn();
      if (!stopped) meter.grant(100_000);
    }),
  );
  const run = promising(exports.main)();
  setTimeout(() => {
    stopped = true;
  }, 5);
  await expect(run).rejects.toThrow(WebAssembly.RuntimeError);
  expect(meter.exhausted).toBe(false);
  expect(meter.used).toBeGreaterThan(100_000);
});

test("a guest that is paused and never resumed blocks nothing", async () => {
  const { exports, meter } = load('(module (func (export "main") (loop (br 0))))', 1000);
  let paused = false;
  meter.refillWith(
    new Suspending(() => {
      paused = true;
      return new Promise(() => {});
    }),
  );
  void promising(exports.main)();
  expect(paused).toBe(true);
  await turn();
  expect(meter.left).toBeLessThan(0);
});
