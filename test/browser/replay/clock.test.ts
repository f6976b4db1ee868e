/** The real clock, and replays of runs that read it. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { forkPoint, replay } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { entriesOf, finish, testKernel } from "../../setup/kernel.ts";
import { wat } from "../../unit/meter/assemble.ts";

/** The clock's readings in lines with that name, ms. */
function read(stdout: string, name: string): number[] {
  const readings = [...stdout.matchAll(new RegExp(`^${name} 0 (\\d+) `, "gm"))].map(([, ns]) => BigInt(ns!));
  return readings.map((ns) => Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6);
}

test("real time is opt-in: the log says so, every reading is kept, and a replay reads the same", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("random");
  await using agent = await kernel.spawn({ name: "clock", program, seed: 1 });
  const before = Date.now();
  const { result, stdout } = await finish(agent.run({ clock: "real" }));
  expect(result).toMatchObject({ status: "exited", exitCode: 0 });
  const [realtime, monotonic] = [read(stdout, "realtime"), read(stdout, "monotonic")];
  expect(realtime).toHaveLength(3);
  // The clocks of the page and the worker may differ by milliseconds.
  expect(realtime[0]).toBeGreaterThan(before - 1000);
  expect(realtime[2]).toBeLessThan(Date.now() + 1000);
  for (const times of [realtime, monotonic]) {
    expect(times.every(Number.isInteger)).toBe(true);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  }
  // Between two readings it slept for a millisecond.
  expect(monotonic[2]).toBeGreaterThan(monotonic[0]!);
  expect(monotonic[0]).toBeLessThan(10_000);

  const virtual = await finish(agent.run());
  expect(read(virtual.stdout, "realtime")[0]).toBeLessThan(Date.UTC(2000, 0, 2));
  const starts = await entriesOf(kernel, "run-start");
  expect(starts.map(({ clock }) => clock)).toEqual(["real", undefined]);

  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  for (const run of [1, 2]) expect(await replay(bundle, run)).toMatchObject({ verdict: "same", notCompared: [] });
  await expect(forkPoint(bundle, 1, { call: 1 })).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("it read the real clock"),
  });
});

test("a clock can be read any number of times; beyond the limit the run has no trace, and the log says why", async () => {
  const program = wat(`(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $n i32)
      (loop $again
        (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8)))
        (br_if $again (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100001))))))`);
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "clock", program });
  expect((await finish(agent.run({ clock: "real" }))).result).toMatchObject({ status: "exited", exitCode: 0 });
  const [end] = await entriesOf(kernel, "run-end");
  expect(end).toMatchObject({ traceDigest: null, untraced: "the clock was read more than 100000 times" });
});

test("the real clock starts at the current time; it is one of two clocks", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "clock", program: await loadGuest("hello") });
  const refused = expect.objectContaining({ code: "invalid-argument" });
  expect(() => agent.run({ clock: "real", startTime: 5 })).toThrow(refused);
  expect(() => agent.run({ clock: "wall" as never })).toThrow(refused);
});
