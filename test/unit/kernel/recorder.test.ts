/** What a run meets is stored while it runs, even if its worker lies about it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Commitment } from "../../../src/audit/value.ts";
import { Recorder } from "../../../src/kernel/recorder.ts";
import type { RunRecorder } from "../../../src/kernel/run-recorder.ts";
import { MAX_READINGS, MET_AT_ONCE } from "../../../src/protocol/bounds.ts";
import type { Point } from "../../../src/protocol/messages.ts";
import { joinParts, parsePart, parseTrace } from "../../../src/protocol/trace-json.ts";
import { fuzzFactor } from "../../setup/fuzz.ts";

const bytes = (length: number) => new Uint8Array(length).fill(0x78);
const at = (fuel: number): Point => ({ at: "check", systemCalls: 0, fuel });
const met = (fuel: number, changes: Point[] = [], readings: number[] = []) => ({
  ...({ vak: "met", run: 1 } as const),
  ...{ fuel, changes, readings },
});
const END = {
  ...({ outcome: { status: "exited", exitCode: 0 }, stop: null } as const),
  ...{ fuel: 9, memoryBytes: 0, fileBytes: 0, files: "00".repeat(32) },
};
const NOTHING = { bytes: 0, digest: "00".repeat(32) };
/** An answer that fills a part, so that it is stored at once. */
const LARGE = bytes(40_000);

const valueIn = ({ file }: Commitment) => JSON.parse(new TextDecoder().decode(file)).trace.value;

/** A run that is under way, and the parts that were stored of it. */
function begin({ recorder = new Recorder(), traced = true, fails = false } = {}) {
  const stored: { part: number; value: unknown }[] = [];
  const run = recorder.run(traced, async (part, commitment) => {
    if (fails) throw new Error("the log has failed");
    stored.push({ part, value: valueIn(commitment) });
  });
  run.enter();
  const end = async (how: { fuel?: number; stop?: Point | null } = {}) => {
    const commitment = await run.trace({ ...END, ...how }, NOTHING, NOTHING);
    return commitment && joinParts([...stored.map(({ value }) => parsePart(value)), parseTrace(valueIn(commitment))]);
  };
  return { recorder, run, stored, end };
}

function call(run: RunRecorder, fuel: number, answer = bytes(9)): void {
  run.call(fuel, bytes(9));
  run.answer(answer, undefined);
}

test("the trace of a short run is stored whole at its end, that of a long run in parts, in order", async () => {
  const short = begin();
  for (let n = 1; n <= 100; n++) call(short.run, n);
  expect((await short.end())!.calls).toHaveLength(100);
  expect(short.stored).toEqual([]);

  const long = begin();
  for (let n = 1; n <= 6; n++) {
    call(long.run, n, LARGE);
    await Promise.resolve();
  }
  long.run.call(7, bytes(9));
  const whole = await long.end();
  expect(long.stored.map(({ part }) => part)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(long.stored.map(({ value }) => parsePart(value).fuel)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(whole!.calls.map(({ fuel, answer }) => [fuel, answer?.toString().length])).toEqual([
    ...[1, 2, 3, 4, 5, 6].map((n) => [n, LARGE.length]),
    [7, undefined],
  ]);
});

test("after a second a part is stored, with the call that waits; its answer is in the next part", async () => {
  const { run, stored, end } = begin();
  call(run, 1);
  run.call(2, bytes(9));
  await expect.poll(() => stored.length).toBe(1);
  expect(parsePart(stored[0]!.value).calls.map(({ answer }) => answer)).toEqual(["x".repeat(9), null]);
  run.answer(bytes(3), undefined);
  const whole = await end();
  expect(whole!.calls.map(({ answer }) => answer)).toEqual(["x".repeat(9), "xxx"]);
  expect(stored).toHaveLength(1);
});

test("files that the page changes before or during the run are in the part in which the guest met them", async () => {
  const { recorder, run, stored, end } = begin({ recorder: withFiles("before") });
  recorder.changes.add("one", bytes(60_000));
  recorder.changes.add("two", null);
  expect(run.met(met(5, [at(5)]))).toBe(true);
  await expect.poll(() => stored.length).toBe(1);
  recorder.changes.add("after", null);
  expect(run.met(met(7, [at(7)]))).toBe(true);
  const whole = await end();
  const paths = (value: { changes: { path: string; at: Point | null }[] }) =>
    value.changes.map(({ path, at }) => [path, at?.fuel ?? null]);
  expect(paths(parsePart(stored[0]!.value))).toEqual([
    ["before", null],
    ["one", 5],
  ]);
  expect(paths(whole!).slice(2)).toEqual([["two", 7]]);
  // What the run has not met is left for the next one.
  expect(recorder.changes.waiting).toBe(1);
});

test("attack: the worker reports more changes than the page made, or more readings than it may", () => {
  const { recorder, run } = begin({ recorder: withFiles("before") });
  expect(run.met(met(1, [at(1)]))).toBe(false);
  recorder.changes.add("one", null);
  expect(run.met(met(1, [at(1), at(1)]))).toBe(false);
  expect(run.met(met(1, [at(1)]))).toBe(true);
  expect(run.met(met(1, [at(1)]))).toBe(false);
  const readings = Array(MET_AT_ONCE).fill(0);
  for (let told = 0; told + MET_AT_ONCE <= MAX_READINGS; told += MET_AT_ONCE)
    expect(run.met(met(1, [], readings))).toBe(true);
  expect(run.met(met(1, [], readings.slice(0, (MAX_READINGS % MET_AT_ONCE) + 1)))).toBe(true);
  expect(run.untraced).toBe("the clock was read more than 100000 times");
  expect(run.met(met(1, [], [0]))).toBe(false);
});

test("attack: the worker reports what its run met before that run begins or after it has ended", async () => {
  const run = new Recorder().run(true, async () => {});
  expect(run.met(met(0))).toBe(false);
  run.enter();
  expect(run.met(met(0))).toBe(true);
  const ended = run.trace(END, NOTHING, NOTHING);
  expect(run.met(met(0))).toBe(false);
  await ended;
  expect(run.met(met(0))).toBe(false);
});

test("an untraced run stores nothing, and a run whose trace became too large stores nothing more", async () => {
  const { run, stored, end } = begin({ traced: false });
  for (let n = 1; n <= 3; n++) {
    call(run, n, LARGE);
    await Promise.resolve();
  }
  expect(run.met(met(3, [at(3)], [1]))).toBe(true);
  expect(await end()).toBeUndefined();
  expect(stored).toEqual([]);

  const large = begin({ recorder: withFiles("big", bytes(8_000_000)) });
  for (let n = 1; n <= 5; n++) {
    call(large.run, n, bytes(1_500_000));
    await Promise.resolve();
  }
  expect(await large.end()).toBeUndefined();
  expect(large.run.untraced).toBe("what it met is larger than a trace may be");
  expect(large.stored).toHaveLength(4);
  expect(large.recorder.changes.broken).toContain("an earlier run of the agent has no trace: what it met is larger");
});

test("if a part cannot be stored there is no trace, and no unhandled rejection", async () => {
  const { run, end, recorder } = begin({ fails: true });
  call(run, 1, LARGE);
  await Promise.resolve();
  call(run, 2, LARGE);
  expect(await end()).toBeUndefined();
  expect(run.untraced).toBe("a part of its trace could not be stored");
  expect(recorder.changes.broken).toContain("a part of its trace could not be stored");
});

test("in a fork, a part holds the recorded calls that the guest has made by then, and the end those it made at all", async () => {
  const before = { number: 1, args: [], env: {}, stdin: bytes(1), startTime: 0, changes: [], calls: [] };
  const calls = [1, 2].map((n) => ({ fuel: n * 100, requestBytes: 9, answer: "{}" }));
  const point = {
    ...{ run: "r/2", call: 3, name: "forked", program: "00".repeat(32), machine: "m", limits: {}, seed: 1, labels: [] },
    runs: [before, { ...before, number: 2, calls }],
  };
  const { run, stored, end } = begin();
  run.continue(point);
  expect(run.met(met(150, [], [1]))).toBe(true);
  await expect.poll(() => stored.length).toBe(1);
  const first = { before: [{ number: 1 }], calls: [{ fuel: 100 }], readings: [1], fuel: 150 };
  expect(parsePart(stored[0]!.value)).toMatchObject(first);
  call(run, 300);
  expect((await end({ fuel: 400 }))!.calls.map(({ fuel }) => fuel)).toEqual([100, 200, 300]);

  for (const [fuel, stop, made] of [
    [99, null, 0],
    [100, { at: "entry", systemCalls: 1, fuel: 100 }, 0],
    [100, { at: "check", systemCalls: 1, fuel: 100 }, 1],
    [250, null, 2],
  ] as const) {
    const stopped = begin();
    stopped.run.continue(point);
    expect((await stopped.end({ fuel, stop }))!.calls).toHaveLength(made);
  }
});

test("if the worker is lost, the parts that were stored remain, and nothing more is stored", async () => {
  const { run, stored } = begin();
  call(run, 1, LARGE);
  await Promise.resolve();
  call(run, 2);
  expect(await run.trace(undefined, NOTHING, NOTHING)).toBeUndefined();
  expect(stored).toHaveLength(1);
});

test("fuzz: at whatever points the trace is stored, its parts together hold everything the guest met", async () => {
  const step = fc.oneof(
    fc.record({ reading: fc.nat(9) }),
    fc.record({ answer: fc.oneof(fc.nat(99), fc.constantFrom("short", "large")), stored: fc.boolean() }),
    fc.record({ path: fc.constantFrom("a", "b"), met: fc.boolean() }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const { recorder, run, end } = begin();
      const calls: unknown[] = [];
      const changes: unknown[] = [];
      const readings: number[] = [];
      let made = 0;
      for (const [fuel, step] of steps.entries()) {
        if ("reading" in step) {
          readings.push(step.reading);
          expect(run.met(met(fuel, [], [step.reading]))).toBe(true);
        } else if ("path" in step) {
          recorder.changes.add(step.path, null);
          made++;
          if (!step.met) continue;
          const points = Array.from({ length: made - changes.length }, () => at(fuel));
          for (const point of points) changes.push(point);
          expect(run.met(met(fuel, points))).toBe(true);
        } else {
          const answer = step.answer === "large" ? LARGE : bytes(5);
          const kept = typeof step.answer === "number" ? step.answer : undefined;
          calls.push({ fuel, requestBytes: 9, answer: kept ?? new TextDecoder().decode(answer) });
          run.call(fuel, bytes(9));
          run.answer(answer, kept);
        }
        if ("stored" in step && step.stored) await Promise.resolve();
      }
      const whole = (await end())!;
      expect(whole).toMatchObject({ calls, readings, before: [] });
      expect(whole.changes.map(({ at }) => at)).toEqual(changes);
      expect(recorder.changes.waiting).toBe(made - changes.length);
    }),
    { numRuns: 100 * fuzzFactor },
  );
});

function withFiles(path: string, data = bytes(9)): Recorder {
  const recorder = new Recorder();
  recorder.changes.add(path, data);
  return recorder;
}
