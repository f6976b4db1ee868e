/** Replays: the same, stopped, diverging, and of forged logs. */
import { Worker } from "node:worker_threads";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { verify } from "../../../src/audit/index.ts";
import { AnswerBuffer } from "../../../src/protocol/answer-buffer.ts";
import { parseTrace, traceToJson } from "../../../src/protocol/trace-json.ts";
import { diff, forkPoint, replay, replayAll, type Until } from "../../../src/replay/index.ts";
import { generate } from "../../e2e/replay/generate.ts";
import { loadGuest } from "../../guests/load.ts";
import type { Step } from "../audit/memory-log.ts";
import { wat } from "../meter/assemble.ts";
import { change, patch, placesOf, type RawTrace } from "./forge.ts";
import { type AgentSpec, bundleOf, record, recordSteps } from "./record.ts";

let busy: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  busy = await loadGuest("busy");
});

const text = (string: string) => new TextEncoder().encode(string);
const answer: NonNullable<AgentSpec["answer"]> = (_tool, { a, b }) => {
  if ((a as number) > 100) return { denied: "No policy permits this call." };
  if ((a as number) % 10 === 4) return { error: { code: "tool-error", message: "é ☃" } };
  return { ok: { sum: (a as number) + (b as number), z: [1.5, null], "10": true, "9": "ü" } };
};
const twoRuns = (): AgentSpec => ({
  program: busy,
  seed: 7,
  answer,
  runs: [
    {
      args: ["12"],
      env: { B: "1", A: "2", "9": "x" },
      stdin: "é",
      changes: [{ path: "inbox.txt", data: text("one") }],
    },
    { args: ["8"], startTime: 12_345, changes: [{ path: "inbox.txt", data: null }] },
  ],
});

test("a run is the same when re-executed, and so is one that begins with the files of another", async () => {
  const bundle = await record([twoRuns()]);
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  for (const run of [1, 2, "agent-0/2"]) {
    const result = await replay(bundle, run, { program: busy });
    expect(result).toMatchObject({ verdict: "same", divergence: null, missing: null, notCompared: [] });
    expect(result.calls).toBe(run === 1 ? 6 : 4);
  }
});

describe("stops", () => {
  let stopper: Worker;
  beforeAll(() => {
    // Sets the state after some time, while the guest is at work in this thread.
    const script = `
      const { parentPort } = require("node:worker_threads");
      parentPort.on("message", ({ state, ms }) => {
        const end = performance.now() + ms;
        while (performance.now() < end);
        Atomics.store(state, ${AnswerBuffer.STATE}, ${AnswerBuffer.STOPPED});
        Atomics.notify(state, ${AnswerBuffer.STATE});
      });
    `;
    stopper = new Worker(script, { eval: true });
  });
  afterAll(() => stopper.terminate());

  test("at 200 places: each run ends at the same unit of work, with the same files", async () => {
    const runs = Array.from({ length: 200 }, (_, n) => ({
      stopping: (state: Int32Array) => stopper.postMessage({ state, ms: (n % 40) / 4 }),
    }));
    const bundle = await record([{ program: busy, answer, limits: { calls: 1_000_000 }, runs }]);
    const places = new Set<string>();
    let replays = 0;
    for await (const { verdict, divergence, fuel } of replayAll(bundle, { program: busy })) {
      expect({ verdict, divergence }).toEqual({ verdict: "same", divergence: null });
      places.add(`${fuel}`);
      replays++;
    }
    expect(replays).toBe(200);
    expect(places.size).toBeGreaterThan(100);
  });
});
describe("until", () => {
  let bundle: Map<string, Uint8Array<ArrayBuffer>>;
  beforeAll(async () => {
    bundle = await record([twoRuns()]);
  });
  const at = (until: Until, run = 1) => replay(bundle, run, { program: busy, until });

  test("a call: the state has the request that waits, and memory, globals, files and output at that point", async () => {
    const whole = (await at({ call: 99 })).state!;
    expect(whole).toMatchObject({ reached: false, calls: 6, request: null });
    const { verdict, state } = await at({ call: 3 });
    expect(verdict).toBe("same");
    expect(state).toMatchObject({
      reached: true,
      calls: 3,
      request: expect.stringMatching(/^{"tool":"add","input":{"a":6,/),
    });
    const decoded = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    // Five rounds are printed, the sixth makes the third call.
    expect(decoded(state!.stdout).split("\n")).toHaveLength(6);
    expect(decoded(whole.stdout).startsWith(decoded(state!.stdout))).toBe(true);
    expect(decoded(state!.files.get("inbox.txt")!)).toBe("one");
    expect(decoded(state!.files.get("progress.txt")!)).toBe(
      `${decoded(whole.files.get("progress.txt")!).split("\n").slice(0, 6).join("\n")}\n`,
    );
    expect(decoded(state!.memory)).toContain(state!.request);
    // The C compiler's stack pointer.
    expect(state!.globals[0]).toBeGreaterThan(0);
    // The same again, bit for bit.
    expect((await at({ call: 3 })).state).toEqual(state);
    expect((await at({ call: 2 }, 2)).state).toMatchObject({ reached: true, calls: 2 });
  });

  test("the calls are listed, with how far the run had come at each", async () => {
    const { verdict, steps, state } = await replay(bundle, 1, { program: busy, steps: true });
    expect(verdict).toBe("same");
    expect(steps).toHaveLength(6);
    expect(state).toMatchObject({ reached: false, calls: 6 });
    for (const [i, { call, fuel, request, memoryBytes, stdout }] of steps!.entries()) {
      const there = (await at({ call })).state!;
      expect({ call, fuel, request }).toEqual({ call: i + 1, fuel: there.fuel, request: there.request });
      expect({ memoryBytes, stdout }).toEqual({ memoryBytes: there.memory.length, stdout: there.stdout.length });
    }
    expect(steps![1]!.answer).toBe('{"error":{"code":"tool-error","message":"é ☃"}}');
  });

  test("globals: all that JavaScript can hold, even of a module that exports none", async () => {
    const globals = Array.from({ length: 200 }, (_, i) => `(global (mut i64) (i64.const ${i * 3}))`).join("");
    const program = wat(`(module ${globals} (global f32 (f32.const 1.5)) (global (mut v128) (v128.const i64x2 1 2))
      (memory (export "memory") 1) (func (export "_start") (global.set 7 (i64.const -1))))`);
    const one = await record([{ program, runs: [{}] }]);
    const { state } = await replay(one, 1, { program, steps: true });
    expect(Object.keys(state!.globals)).toHaveLength(201);
    expect(state!.globals).toMatchObject({ 0: 0n, 7: -1n, 199: 597n, 200: 1.5 });
    const none = wat(`(module (func (export "_start")))`);
    const other = await record([{ program: none, runs: [{}] }]);
    expect((await replay(other, 1, { program: none, steps: true })).state).toMatchObject({
      globals: {},
      memory: new Uint8Array(),
    });
  });

  test("units of work: it stops at the first check by which they were done", async () => {
    const { fuel } = (await at({ call: 3 })).state!;
    const { verdict, state } = await at({ fuel: fuel - 1000 });
    expect(verdict).toBe("same");
    expect(state).toMatchObject({ reached: true, calls: 2, request: null });
    expect(state!.fuel).toBeGreaterThanOrEqual(fuel - 1000);
    expect(state!.fuel).toBeLessThan(fuel);
    expect((await at({ fuel: fuel - 1000 })).state).toEqual(state);
    expect((await at({ fuel: 1 })).state).toMatchObject({ reached: true, calls: 0 });
    expect((await at({ fuel: Number.MAX_SAFE_INTEGER })).state).toMatchObject({ reached: false });
  });

  test.each([{ call: 0 }, { call: 1.5 }, { fuel: -1 }, { fuel: Number.NaN }])("%o is refused", async (until) => {
    await expect(at(until as Until)).rejects.toMatchObject({ code: "invalid-argument" });
  });
});

describe("diff", () => {
  const run = { args: ["6"], changes: [{ path: "inbox.txt", data: text("one") }] };
  const other =
    (n: number): NonNullable<AgentSpec["answer"]> =>
    (tool, input) =>
      input.a === n ? { ok: "another" } : answer(tool, input);

  test("two runs that are given the same do not differ", async () => {
    const bundle = await record([
      { program: busy, answer, runs: [run] },
      { program: busy, answer, runs: [run] },
    ]);
    expect(await diff({ bundle, run: 1, program: busy }, { bundle, run: 2, program: busy })).toEqual({
      ...{ same: true, given: [], call: null, end: [], files: [], stdout: null, stderr: null },
    });
  });

  test("two runs that a tool answered differently differ from that call on", async () => {
    const one = await record([{ program: busy, answer, runs: [run] }]);
    const two = await record([{ program: busy, answer: other(4), runs: [run] }]);
    const found = await diff({ bundle: one, run: 1, program: busy }, { bundle: two, run: 1, program: busy });
    expect(found).toMatchObject({
      same: false,
      given: [],
      call: { number: 2, what: "answer", one: expect.stringContaining("tool-error"), other: '{"ok":"another"}' },
      files: [{ path: "progress.txt", change: "changed" }],
      stdout: { one: expect.stringMatching(/^4 /), other: expect.stringMatching(/^4 /) },
    });
    expect(found.end.map(({ what }) => what)).toContain("outcome");
  });

  test("runs that were given different things: what differs, and with what effect", async () => {
    const changes = [
      { path: "inbox.txt", data: text("two") },
      { path: "more.txt", data: text("") },
    ];
    const runs = [{ ...run, args: ["7"], env: { A: "1" }, stdin: "x", changes }];
    const bundle = await record([
      { program: busy, answer, runs: [run] },
      { program: busy, answer, seed: 2, runs },
    ]);
    expect(await diff({ bundle, run: 1, program: busy }, { bundle, run: 2, program: busy })).toMatchObject({
      given: ["seed", "args", "env", "stdin", "files that the page wrote"],
      files: [
        { path: "inbox.txt", change: "changed", byte: 0 },
        { path: "more.txt", change: "added" },
        { path: "progress.txt", change: "changed" },
      ],
    });
  });
});

test("100 random programs, two runs each, are the same", async () => {
  const ends = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const program = wat(generate(seed));
    const limits = { fuel: 3_000_000, calls: 60 };
    const bundle = await record([{ program, seed, limits, answer, runs: [{}, {}] }]);
    for await (const { verdict, divergence } of replayAll(bundle, { program })) {
      expect({ seed, verdict, divergence }).toEqual({ seed, verdict: "same", divergence: null });
    }
    for (const { end } of (await verify(bundle)).runs) if (typeof end === "object") ends.add(end.trap ?? end.status);
  }
  expect([...ends]).toEqual(expect.arrayContaining(["exited", "out-of-bounds", "overflow", "divide"]));
});

test.each([
  ["stackDepth", 1000, 40_000, "(call $dive (i32.const 2000))"],
  ["memoryBytes", 2 ** 17, 2 ** 20, "(if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then (unreachable)))"],
  [
    "tableElements",
    10,
    100,
    "(if (i32.eq (table.grow 0 (ref.null func) (i32.const 50)) (i32.const -1)) (then (unreachable)))",
  ],
])("agents share a compiled program only if their %s is the same", async (limit, low, high, body) => {
  const program = wat(`(module (memory 1) (data (i32.const 0) "the program") (table 1 funcref)
    (func $dive (param i32) (if (local.get 0) (then (call $dive (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "_start") ${body}))`);
  const limits = [{ [limit]: low }, { [limit]: high }, { [limit]: high, calls: 5 }, { [limit]: low }];
  const bundle = await record(limits.map((limits) => ({ program, limits, runs: [{}] })));
  const ends = (await verify(bundle)).runs.map(({ end }) => typeof end === "object" && end.status);
  expect(ends).toEqual(["trapped", "exited", "exited", "trapped"]);
  const compiling = vi.spyOn(WebAssembly, "Module");
  const verdicts: string[] = [];
  for await (const { verdict } of replayAll(bundle, { program })) verdicts.push(verdict);
  const compiled = compiling.mock.calls.filter(([bytes]) => Buffer.from(bytes as ArrayBuffer).includes("the program"));
  compiling.mockRestore();
  expect(verdicts).toEqual(["same", "same", "same", "same"]);
  expect(compiled).toHaveLength(2);
});

describe("an input that was not logged as the guest wrote it", () => {
  const schema = {
    type: "object",
    properties: { url: { type: "string", format: "http-url" }, text: { type: "string" } },
  };
  const asked = { url: "HTTPS://A.example/x/../y#z", text: "pins 1234 and 5678" };
  const url = "https://a.example/y";
  let honest: Step[];
  let program: Uint8Array<ArrayBuffer>;
  beforeAll(async () => {
    program = await loadGuest("requests");
    const stdin = `${JSON.stringify({ tool: "open", input: asked })}\n`;
    honest = await recordSteps([{ program, runs: [{ stdin }] }]);
    const [loaded, { policy } = {}] = honest[1]!;
    const base = JSON.stringify({ tools: [{ inputSchema: schema, name: "open" }] });
    honest[1] = [loaded, { policy: policy!, base }];
  });

  test.each<[string, object, string[] | undefined, "same" | "diverged"]>([
    ["its URL in one spelling", { ...asked, url }, undefined, "same"],
    ["attack: another URL", { ...asked, url: "https://b.example/y" }, undefined, "diverged"],
    ["attack: another text", { url, text: "pins 1234 and 5679" }, undefined, "diverged"],
    ["something taken out", { url, text: "pins REDACTED and REDACTED" }, ["pin"], "same"],
    ["all of it taken out", { url, text: "REDACTED" }, ["pin"], "same"],
    ["attack: it is not said", { url, text: "pins REDACTED and REDACTED" }, undefined, "diverged"],
    ["attack: other words around it", { url, text: "pins REDACTED or REDACTED" }, ["pin"], "diverged"],
    ["attack: more around it than there was", { url, text: "pins 1234 and REDACTED8 and 5678" }, ["pin"], "diverged"],
  ])("%s", async (_, input, redacted, verdict) => {
    const steps = [...honest];
    const at = placesOf(steps, "agent-0/1", "intent")[0]!;
    change(steps, at, () => input);
    if (redacted) patch(steps, at, { redacted });
    const bundle = await bundleOf(steps);
    expect(await verify(bundle)).toMatchObject({ ok: true });
    const result = await replay(bundle, 1, { program });
    expect(result).toMatchObject({ verdict, divergence: verdict === "same" ? null : { call: 1, what: "input" } });
  });
});

describe("attack: a forger with the log's key changes", () => {
  let steps: Step[];
  let honest: Step[];
  beforeAll(async () => {
    honest = await recordSteps([twoRuns()]);
  });
  beforeEach(() => {
    steps = [...honest];
  });
  /** Of the first run: where the forger struck, and where it has to show. */
  const shows = async (divergence: object, run = 1) => {
    const bundle = await bundleOf(steps);
    expect(await verify(bundle)).toMatchObject({ ok: true });
    expect(await replay(bundle, run, { program: busy })).toMatchObject({ verdict: "diverged", divergence });
  };
  const trace = (edit: (trace: RawTrace) => void) =>
    change(steps, placesOf(steps, "agent-0/1", "run-end")[0]!, (value: RawTrace) => {
      edit(value);
      return value;
    });

  test("a tool's answer: the next call asks for something else", async () => {
    change(steps, placesOf(steps, "agent-0/1", "outcome")[3]!, () => ({ sum: 1 }));
    await shows({ call: 5, what: "input", recorded: expect.stringContaining('"a":10'), byte: expect.any(Number) });
  });

  test("the answer to a denied call: it is as long, but the next call differs", async () => {
    const denied = await recordSteps([
      { ...twoRuns(), answer: (_, { a }) => ((a as number) === 4 ? { denied: "no" } : { ok: a }) },
    ]);
    steps = denied;
    trace(({ calls }) => {
      calls[1]![2] = (calls[1]![2] as string).replace("no", "na");
    });
    await shows({ call: 3, what: "input" });
  });

  test("what a call asked for", async () => {
    change(steps, placesOf(steps, "agent-0/1", "intent")[2]!, (input: object) => ({ ...input, a: 7 }));
    await shows({
      call: 3,
      what: "input",
      recorded: expect.stringContaining('"a":7'),
      replayed: expect.stringContaining('"a":6'),
    });
  });

  test("which tool a call asked for", async () => {
    const at = placesOf(steps, "agent-0/1", "intent")[1]!;
    patch(steps, at, { resource: "mul" });
    await shows({ call: 2, what: "tool", recorded: "mul", replayed: "add" });
  });

  test("the tool of a request that is not JSON: half of a character at the cut is shown as U+FFFD", async () => {
    const program = await loadGuest("requests");
    steps = await recordSteps([{ program, runs: [{ stdin: `${"x".repeat(127)}😀\n` }] }]);
    patch(steps, placesOf(steps, "agent-0/1", "denial")[0]!, { resource: "add" });
    const { divergence } = await replay(await bundleOf(steps), 1, { program });
    expect(divergence).toMatchObject({ call: 1, what: "tool", recorded: "add", replayed: `${"x".repeat(127)}\ufffd` });
  });

  test("at which unit of work a call was made", async () => {
    trace(({ calls }) => {
      calls[4]![0]++;
    });
    await shows({ call: 5, what: "fuel" });
  });

  test("that there was a call at all", async () => {
    const calls = placesOf(steps, "agent-0/1", "intent");
    trace((trace) => {
      trace.calls.length = 5;
    });
    await shows({ call: 6, what: "calls", recorded: "5", replayed: "at least 6" });
    expect(calls).toHaveLength(6);
  });

  test("stdin, environment, time, seed, arguments, files: the program does something else with them", async () => {
    const at = placesOf(steps, "agent-0/1", "run-start")[0]!;
    patch(steps, at, { startTime: 5 });
    await shows({ call: 1, what: "input" });
    steps = [...honest];
    patch(steps, at, { args: ["13"] });
    await shows({ call: null, what: "outcome" });
    steps = [...honest];
    trace(({ changes }) => {
      changes[0]!.data = btoa("another");
    });
    await shows({ call: 1, what: "input" });
    steps = [...honest];
    const spawn = steps.findIndex(([{ type }]) => type === "agent-spawn");
    patch(steps, spawn, { seed: 8 });
    await shows({ call: 1, what: "input" });
  });

  test.each([
    ["its exit code", { exitCode: 101 }, "outcome"],
    ["its fuel", { usage: { fuel: 1, memoryBytes: 1, fileBytes: 1, outputBytes: 1, calls: 6, wallMs: 1 } }, "outcome"],
    ["its digest", { digest: "ab".repeat(32) }, "digest"],
    ...["fuel", "output", "calls", "log-unavailable", "files-unavailable"].map((limit): [string, object, string] => [
      `a limit that it did not reach, ${limit}`,
      { status: "stopped", exitCode: null, limit },
      "outcome",
    ]),
  ])("the end: %s", async (_, end, what) => {
    const at = placesOf(steps, "agent-0/1", "run-end")[0]!;
    patch(steps, at, end);
    // Without fuel it does not get that far.
    await shows(what === "outcome" && "usage" in end ? { call: 1 } : { call: null, what });
  });

  test("the end: a stop that the program never came to, since it ended before", async () => {
    patch(steps, placesOf(steps, "agent-0/1", "run-end")[0]!, { status: "stopped", exitCode: null, limit: "aborted" });
    trace((trace) => {
      trace.stop = { at: "check", systemCalls: 1e6, fuel: 1 };
    });
    await shows({ call: null, what: "outcome", recorded: "stopped asked", replayed: "exited 41" });
  });

  test("what it printed, and its files", async () => {
    trace(({ stdout }) => {
      stdout.digest = "ab".repeat(32);
    });
    await shows({ call: null, what: "stdout" });
    steps = [...honest];
    trace((trace) => {
      trace.files = "ab".repeat(32);
    });
    await shows({ call: null, what: "files" });
  });

  test("an earlier run, whose files a later one finds", async () => {
    change(steps, placesOf(steps, "agent-0/1", "outcome")[3]!, () => ({ sum: 1 }));
    await shows({ run: "agent-0/1", call: 5 }, 2);
  });

  test("the machine: the replay is refused, and names it", async () => {
    const spawn = steps.findIndex(([{ type }]) => type === "agent-spawn");
    patch(steps, spawn, { machine: "wt9/8/7" });
    const refused = replay(await bundleOf(steps), 1, { program: busy });
    await expect(refused).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining('"wt9/8/7"') });
  });

  test("a run that ended into one that continues: it is followed no further than its fuel", async () => {
    const at = placesOf(steps, "agent-0/1", "run-start")[0]!;
    patch(steps, at, { args: ["99"] });
    await shows({ call: null, what: "outcome", replayed: "stopped fuel" });
  });
});

describe("attack: without the key, someone changes", () => {
  test("the program: the replay says so, and where it first does something else", async () => {
    const bundle = await record([twoRuns()]);
    const other = busy.slice();
    const prime = [0x93, 0x83, 0x80, 0x08]; // 16777619, as a constant in the code
    let at = other.findIndex((_, i) => prime.every((byte, j) => other[i + j] === byte));
    expect(at).toBeGreaterThan(0);
    for (; at >= 0; at = other.findIndex((_, i) => prime.every((byte, j) => other[i + j] === byte))) other[at] = 0x95;
    const { verdict, divergence } = await replay(bundle, 1, { program: other });
    expect({ verdict, divergence }).toMatchObject({ verdict: "diverged", divergence: { call: 1, what: "input" } });

    // A program that does the same, but is a different one.
    const longer = new Uint8Array([...busy, 0, 2, 1, 0x78]); // an empty custom section
    expect(await replay(bundle, 1, { program: longer })).toMatchObject({
      verdict: "diverged",
      divergence: { call: null, what: "program" },
    });
  });

  test("a value in the bundle: it is reported at its call", async () => {
    const steps = await recordSteps([twoRuns()]);
    const bundle = await bundleOf(steps);
    const places = [placesOf(steps, "agent-0/1", "outcome")[2]!, placesOf(steps, "agent-0/1", "intent")[2]!];
    for (const at of places) {
      const changed = new Map(bundle);
      const path = `values/${at}.json`;
      changed.set(path, text(new TextDecoder().decode(changed.get(path)).replace(/\d(?=[^"]*$)/, "7")));
      expect(changed.get(path)).not.toEqual(bundle.get(path));
      expect(await replay(changed, 1, { program: busy })).toMatchObject({
        verdict: "diverged",
        divergence: { call: 3, what: "value in the bundle" },
      });
    }
    const trace = `values/${placesOf(steps, "agent-0/1", "run-end")[0]}.json`;
    const changed = new Map(bundle).set(trace, text("{}"));
    await expect(replay(changed, 1, { program: busy })).rejects.toMatchObject({ code: "invalid-bundle" });
  });
});

test("what was erased is reported: an input is not compared, an answer ends the replay, a trace or a program is missing", async () => {
  const steps = await recordSteps([twoRuns()]);
  const bundle = await bundleOf(steps);
  const without = (path: string) => new Map([...bundle].filter(([other]) => other !== path));
  const fileOf = (type: string, n = 0) => `values/${placesOf(steps, "agent-0/1", type)[n]}.json`;
  const options = { program: busy };

  expect(await replay(without(fileOf("intent", 1)), 1, options)).toMatchObject({
    verdict: "same",
    notCompared: ["the input of call 2, which is not in the bundle"],
  });
  expect(await replay(without(fileOf("outcome", 1)), 1, options)).toMatchObject({
    verdict: "incomplete",
    missing: "the answer to call 2 is not in the bundle",
    calls: 2,
  });
  for (const type of ["run-start", "run-end"]) {
    const refused = replay(without(fileOf(type)), 1, options);
    await expect(refused).rejects.toMatchObject({ code: "not-found", message: expect.stringContaining(fileOf(type)) });
  }
  await expect(replay(bundle, 1)).rejects.toMatchObject({ code: "not-found" });
  await expect(replay(bundle, 3, options)).rejects.toMatchObject({ code: "not-found" });
  const all = [];
  for await (const one of replayAll(without(fileOf("outcome", 1)), options)) all.push(one);
  expect(all).toMatchObject(
    [{ verdict: "incomplete" }, { verdict: "incomplete", missing: /agent-0\/1, before it/ }].map((one) =>
      "missing" in one ? { ...one, missing: expect.stringMatching(one.missing as RegExp) } : one,
    ),
  );
});

test("a bundle may hold the program", async () => {
  const bundle = await record([twoRuns()]);
  const digest = bytesToHex(sha256(busy));
  bundle.set(`programs/${digest}.wasm`, busy);
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  expect(await replay(bundle, 2)).toMatchObject({ verdict: "same" });
  bundle.set(`programs/${digest}.wasm`, busy.slice(1));
  expect(await verify(bundle)).toMatchObject({ ok: false, problems: [{ where: `programs/${digest}.wasm` }] });
});

test("fuzz: any trace is either refused or parsed as it says", () => {
  const point = fc.record({
    at: fc.constantFrom("check", "entry", "wait", "x"),
    systemCalls: fc.integer(),
    fuel: fc.integer(),
  });
  const stream = fc.record({ bytes: fc.integer(), digest: fc.constantFrom("ab".repeat(32), "AB") });
  const near = fc.record({
    changes: fc.array(fc.record({ path: fc.string(), data: fc.option(fc.base64String()), at: fc.option(point) })),
    calls: fc.array(fc.tuple(fc.nat(), fc.nat(), fc.oneof(fc.string(), fc.nat(), fc.constant(null), fc.anything()))),
    stop: fc.option(point),
    readings: fc.array(fc.oneof(fc.nat(), fc.integer()), { minLength: 1 }),
    files: fc.constantFrom("ab".repeat(32), ""),
    stdout: stream,
    stderr: stream,
  });
  fc.assert(
    fc.property(fc.oneof(fc.anything(), near), (value) => {
      try {
        expect(traceToJson(parseTrace(value))).toEqual(value);
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid-bundle" });
      }
    }),
    { numRuns: 2000 },
  );
});

describe("the real clock", () => {
  const spec = async (): Promise<AgentSpec> => ({ program: await loadGuest("random"), runs: [{ clock: "real" }] });

  test("a replay reads the recorded time", async () => {
    const agent = await spec();
    const bundle = await record([agent]);
    expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
    expect(await replay(bundle, 1, { program: agent.program })).toMatchObject({ verdict: "same", notCompared: [] });
  });

  test("a run that read it cannot be forked", async () => {
    const bundle = await record([await spec()]);
    await expect(forkPoint(bundle, 1, { call: 1 })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("real clock"),
    });
  });

  test("different, missing or additional readings are reported", async () => {
    const agent = await spec();
    const changes: [(readings: number[]) => number[], string][] = [
      [(readings) => readings.slice(0, -1), "readings of the clock"],
      [(readings) => [...readings, 0], "readings of the clock"],
      [([first = 0, ...rest]) => [first + 1, ...rest], "stdout"],
      [() => [], "readings of the clock"],
    ];
    for (const [edit, what] of changes) {
      const steps = await recordSteps([agent]);
      change(steps, steps.length - 1, (trace: RawTrace) => ({ ...trace, readings: edit(trace.readings) }));
      const { verdict, divergence } = await replay(await bundleOf(steps), 1, { program: agent.program });
      expect({ verdict, what: divergence?.what }).toEqual({ verdict: "diverged", what });
    }
  });
});
