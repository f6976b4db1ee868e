/** Replays that resume from a checkpoint. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { describe, expect, test } from "vitest";
import type { VakError } from "../../../src/errors.ts";
import { openReplay, type Replay, type Replayer, replay, type Until } from "../../../src/replay/index.ts";
import { generate } from "../../e2e/replay/generate.ts";
import { loadGuest } from "../../guests/load.ts";
import { wat } from "../meter/assemble.ts";
import { type AgentSpec, bundleOf, type RunSpec, record, recordSteps } from "./record.ts";

type Bundle = Awaited<ReturnType<typeof record>>;

const answer: NonNullable<AgentSpec["answer"]> = (_tool, { a, b }) => ({ ok: (a as number) + (b as number) });

/** A replay with a digest in place of its memory: comparing that many bytes one by one is slow. */
function seen({ state, ...rest }: Replay) {
  return { ...rest, ...(state && { state: { ...state, memory: bytesToHex(sha256(state.memory)) } }) };
}

type Places = [run: number, until: Until][];

async function compare(replayer: Replayer, bundle: Bundle, program: Uint8Array<ArrayBuffer>, places: Places) {
  for (const [run, until] of places) {
    expect(seen(await replayer.replay(run, { until }))).toEqual(seen(await replay(bundle, run, { program, until })));
  }
}

/** Reads the time, works a little and writes what it read into a file, a hundred times. */
const READS_CLOCK = `(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $i i32) (local $j i32)
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 8))
    (loop $again
      (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
      (local.set $j (i32.const 0))
      (loop (br_if 0 (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 1000))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))))`;

describe("a replay that resumes from a checkpoint is identical to one from the beginning", () => {
  test("a program in C: at calls and between them, forwards, backwards and across runs", async () => {
    const program = await loadGuest("busy");
    const inbox = (data: string) => [{ path: "inbox.txt", data: new TextEncoder().encode(data) }];
    const runs = [
      { args: ["12"], changes: inbox("first") },
      { args: ["20"], changes: inbox("second") },
    ];
    const bundle = await record([{ program, answer, runs }]);
    const whole = await replay(bundle, 2, { program });
    const replayer = await openReplay(bundle, { program });
    expect(replayer.checkpoints(2)).toEqual([]);
    expect(await replayer.replay(2)).toEqual(whole);
    const checkpoints = replayer.checkpoints(2);
    expect(checkpoints.length).toBeGreaterThan(10);
    const parts = [0.5, 0.9, 0.13].map((part): [number, Until] => [2, { fuel: Math.ceil(whole.fuel * part) }]);
    await compare(replayer, bundle, program, [
      [2, { call: 9 }],
      [2, { call: 3 }],
      [1, { call: 5 }],
      [2, { call: 8 }],
      ...parts,
      [2, { call: 1000 }],
    ]);
    expect(replayer.checkpoints(2)).toEqual(checkpoints);
    expect(replayer.checkpoints(1).length).toBeGreaterThan(3);
    const { steps } = await replay(bundle, 2, { program, steps: true });
    expect((await replayer.replay(2, { steps: true })).steps).toEqual(steps);
    expect(await replayer.replay(2)).toEqual(whole);
  });

  test("30 random programs, two runs each", async () => {
    let checkpoints = 0;
    for (let seed = 500; seed < 530; seed++) {
      const program = wat(generate(seed));
      const bundle = await record([{ program, answer, limits: { fuel: 5_000_000 }, runs: [{}, {}] }]);
      const replayer = await openReplay(bundle, { program });
      const { fuel, calls } = await replayer.replay(2);
      await compare(replayer, bundle, program, [
        [2, { fuel: Math.ceil(fuel / 2) }],
        [1, { call: 1 + (seed % 5) }],
        [2, { call: Math.max(1, calls) }],
        [2, { fuel: Math.ceil(fuel / 5) }],
      ]);
      checkpoints += replayer.checkpoints(1).length + replayer.checkpoints(2).length;
    }
    expect(checkpoints).toBeGreaterThan(150);
  });

  test("the calls of a reactor, whose memory survives from one to the next", async () => {
    const program = await loadGuest("reactor");
    const runs = ["count", "note", "ask", "count", "note"].map(
      (name): RunSpec => ({ args: [name], call: '{"tool":"add","input":{"a":1,"b":2}}' }),
    );
    const bundle = await record([{ program, answer, runs }]);
    const replayer = await openReplay(bundle, { program });
    for (const run of [5, 2, 4, 1, 5]) {
      expect(await replayer.replay(run)).toMatchObject({ verdict: "same" });
      await compare(replayer, bundle, program, [[run, { call: 1000 }]]);
    }
  });

  test("files of a program that cannot be captured: it resumes between runs", async () => {
    // Its table changes.
    const program = await loadGuest("table");
    const bundle = await record([{ program, runs: [{}, {}, {}] }]);
    const replayer = await openReplay(bundle, { program });
    await compare(replayer, bundle, program, [
      [3, { fuel: 1 }],
      [2, { fuel: 100 }],
      [3, { call: 5 }],
    ]);
    expect(replayer.checkpoints(3)).toEqual([]);
  });

  test("the real clock: readings after a checkpoint are those that were recorded", async () => {
    const program = wat(READS_CLOCK);
    const bundle = await record([{ program, answer, runs: [{ clock: "real" }, { clock: "real" }] }]);
    const replayer = await openReplay(bundle, { program });
    expect(await replayer.replay(2)).toMatchObject({ verdict: "same" });
    expect(replayer.checkpoints(2).length).toBeGreaterThan(10);
    const { fuel } = await replay(bundle, 2, { program });
    await compare(replayer, bundle, program, [
      [2, { fuel: Math.ceil(fuel * 0.7) }],
      [2, { fuel: Math.ceil(fuel * 0.3) }],
      [2, { call: 99 }],
    ]);
  });
});

test("a divergence after a checkpoint is found at the right call, from a checkpoint too", async () => {
  const program = await loadGuest("busy");
  const steps = await recordSteps([{ program, answer, runs: [{ args: ["20"] }] }]);
  const at = steps.findIndex(([draft]) => draft.type === "outcome" && draft.call === 8);
  steps[at] = [steps[at]![0], { output: 1_000_000 }];
  const bundle = await bundleOf(steps);
  const plain = await replay(bundle, 1, { program });
  expect(plain).toMatchObject({ verdict: "diverged", divergence: { call: 9, what: "input" } });
  const replayer = await openReplay(bundle, { program });
  expect(await replayer.replay(1)).toEqual(plain);
  const { divergence } = await replayer.replay(1, { until: { call: 10 } });
  expect(divergence).toEqual(plain.divergence);
  await compare(replayer, bundle, program, [[1, { call: 4 }]]);
});

test("attack: a function that rewriting makes too large for the engine is executed unchanged", async () => {
  const calls = "(call $f)".repeat(200_000);
  const program = wat(`(module (memory (export "memory") 1) (type $t (func)) (table 1 funcref) (elem (i32.const 0) $g)
    (func $g) (func $f (call_indirect (type $t) (i32.const 0))) (func (export "_start") ${calls}))`);
  const bundle = await record([{ program, runs: [{}] }]);
  const replayer = await openReplay(bundle, { program });
  expect(await replayer.replay(1)).toMatchObject({ verdict: "same" });
  expect(replayer.checkpoints(1)).toEqual([]);
  await compare(replayer, bundle, program, [[1, { fuel: 100_000 }]]);
});

test("attack: a stack so deep that it overflows only with the larger frames is not reported as a divergence", async () => {
  const dive = (depth: number) => `(i32.store (i32.const 8) (call $f (i32.const ${depth})))`;
  const program = wat(`(module (memory (export "memory") 16)
    (type $t (func (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $f)
    (func $f (param i32) (result i32)
      (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
      (i32.add (i32.const 1) (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))
    (func (export "_start") (local i32)
      (loop ${dive(2)} (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 9000))))
      ${dive(3000)} ${dive(100_000)}))`);
  const bundle = await record([{ program, limits: { stackDepth: 40_000 }, runs: [{}, {}] }]);
  const plain = await replay(bundle, 2, { program });
  expect(plain).toMatchObject({ verdict: "same" });
  const replayer = await openReplay(bundle, { program });
  expect(await replayer.replay(2)).toEqual(plain);
  await compare(replayer, bundle, program, [
    [2, { fuel: Math.ceil(plain.fuel / 2) }],
    [1, { fuel: plain.fuel - 1000 }],
  ]);
});

test.each([
  ["an ArrayBuffer", 0, (bytes: Uint8Array<ArrayBuffer>) => bytes.buffer],
  ["a view", 0, (bytes: Uint8Array<ArrayBuffer>) => bytes],
  ["a view of a part", 9, (bytes: Uint8Array<ArrayBuffer>) => new DataView(bytes.buffer, 9)],
])(
  "a program given as %s is copied: what the caller does to its bytes afterwards does not count",
  async (_, at, form) => {
    const program = await loadGuest("busy");
    const bundle = await record([{ program, answer, runs: [{ args: ["5"] }] }]);
    const given = new Uint8Array(at + program.byteLength);
    given.set(program, at);
    const replayer = await openReplay(bundle, { program: form(given) });
    given.fill(0);
    expect(await replayer.replay(1)).toMatchObject({ verdict: "same" });
  },
);

test("misuse: until and runs are checked before anything is executed; several calls wait for one another", async () => {
  const program = await loadGuest("busy");
  const bundle = await record([{ program, answer, runs: [{ args: ["6"] }] }]);
  const replayer = await openReplay(bundle, { program });
  const code = (attempt: () => Promise<unknown>) =>
    attempt().then(
      () => "",
      (error: VakError) => error.code,
    );
  expect(await code(async () => replayer.replay(1, { until: { call: 0 } }))).toBe("invalid-argument");
  expect(await code(async () => replayer.replay(2))).toBe("not-found");
  const calls = await Promise.all([3, 1, 2].map((call) => replayer.replay(1, { until: { call } })));
  expect(calls.map(({ state }) => state?.calls)).toEqual([3, 1, 2]);
  const without = await openReplay(bundle);
  expect(await code(async () => without.replay(1))).toBe("not-found");
});
