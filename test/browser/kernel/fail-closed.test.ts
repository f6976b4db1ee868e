/** When the log cannot be written, or a tool or a person misbehaves, nothing happens without an entry in the log. */
import { afterEach, expect, test } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { Taint } from "../../../src/broker/taint.ts";
import { createKernel, defineTool, VakError } from "../../../src/index.ts";
import { openLog } from "../../../src/log/log.ts";
import type { Decision, PolicyEngine } from "../../../src/policy/engine.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, effects, entriesOf, finish, policy, testKernel, wipe } from "../../setup/kernel.ts";

const writes = { put: IDBObjectStore.prototype.put, add: IDBObjectStore.prototype.add };

interface Fault {
  failed(): boolean;
}

/** From the k-th write to IndexedDB on, every one fails as on a full disk. */
function failWrites(k: number): Fault {
  let count = 0;
  for (const name of ["put", "add"] as const) {
    IDBObjectStore.prototype[name] = function (this: IDBObjectStore, ...args: [value: unknown, key?: IDBValidKey]) {
      if (++count >= k) throw new DOMException("the disk is full", "QuotaExceededError");
      return writes[name].apply(this, args);
    };
  }
  return { failed: () => count >= k };
}

afterEach(() => {
  Object.assign(IDBObjectStore.prototype, writes);
});

/** Runs the job. Resolves with how it ended, and whether the log had failed by then. */
const job = async (name: string, fault: Fault) => {
  const kernel = await createKernel({ policy, tools: [add, wipe], log: { name } });
  try {
    const agent = await kernel.spawn({
      name: "job",
      program: await loadGuest("agent"),
      files: { "in.txt": "x" },
      limits: { deadlineMs: 10_000 },
    });
    const result = await agent.run().result;
    // Before anything else: the result does not wait for the signed checkpoint, whose write may fail next.
    const failed = fault.failed();
    return { outcome: result.status === "stopped" ? result.limit : result.status, failed };
  } finally {
    await kernel.close();
  }
};

test("for every k: the log fails at its k-th write, and every effect has its intent in the log", async () => {
  let stages = 0;
  for (let k = 1; ; k++) {
    const name = crypto.randomUUID();
    effects.length = 0;
    const fault = failWrites(k);
    const { outcome, failed } = await job(name, fault).catch((error: unknown) => {
      expect(error).toBeInstanceOf(VakError);
      return { outcome: (error as VakError).code, failed: true };
    });
    Object.assign(IDBObjectStore.prototype, writes);
    if (!fault.failed()) {
      expect(outcome).toBe("exited");
      expect(effects).toEqual(["add 1 2"]);
      break;
    }
    stages++;
    expect(outcome).toBe(failed ? "log-unavailable" : "exited");
    // Opened again, the log holds an intent for everything that was done, and can be written.
    await using kernel = await createKernel({ log: { name } });
    const intents = await entriesOf(kernel, "intent");
    expect(intents.length).toBeGreaterThanOrEqual(effects.length);
    const outcomes = await entriesOf(kernel, "outcome");
    expect(outcomes.map(({ intentOf }) => intentOf)).toEqual(intents.map(({ seq }) => seq));
    await kernel.log.checkpoint();
  }
  // The policy, the spawn, the run's start, the intent and the run's end are each awaited: one write each at least.
  expect(stages).toBeGreaterThanOrEqual(5);
});

/** Blocks all other writers of the log until what it returns is called. */
async function occupy(name: string): Promise<() => void> {
  const opening = indexedDB.open(`vak:log:${name}`);
  const db = await new Promise<IDBDatabase>((resolve) => {
    opening.onsuccess = () => resolve(opening.result);
  });
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const store = db.transaction("entries", "readwrite").objectStore("entries");
  let free = false;
  // A transaction stays open as long as it has requests.
  const ask = () => {
    begin();
    if (free) db.close();
    else store.count().onsuccess = ask;
  };
  store.count().onsuccess = ask;
  await begun;
  return () => {
    free = true;
  };
}

test("an outcome that is not on disk yet: the guest has its answer, but no further effect happens", async () => {
  const name = crypto.randomUUID();
  let release = () => {};
  const held = defineTool({
    name: "add",
    description: "Adds two integers, after which nothing can be written.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: async () => {
      release = await occupy(name);
      return 3;
    },
  });
  await using kernel = await testKernel({
    tools: [held, wipe],
    policy: "permit (principal, action, resource);",
    log: { name },
  });
  await using agent = await kernel.spawn({
    name: "job",
    program: await loadGuest("agent"),
    files: { "in.txt": "x" },
  });
  const run = agent.run();
  let seen = "";
  const reader = run.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!seen.includes('add: {"ok":3}')) {
    const { value, done } = await reader.read();
    expect(done, seen).toBe(false);
    seen += value;
  }
  const { size } = kernel.log;
  // Long enough for the next call to arrive, and for its effect if it were not held back.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(effects).toEqual([]);
  expect(kernel.log.size).toBe(size);
  release();
  expect(await run.result).toMatchObject({ status: "exited" });
  expect(effects).toEqual(["wipe /"]);
  const kinds = (await entriesOf(kernel)).map(({ type }) => type);
  expect(kinds.slice(-5)).toEqual(["intent", "outcome", "intent", "outcome", "run-end"]);
});

test("the streams of a run end when its end is in the log, and the agent can run again", async () => {
  const name = crypto.randomUUID();
  let release = () => {};
  const held = defineTool({
    name: "hold",
    description: "Holds the log from here on.",
    inputSchema: { type: "object" },
    execute: async () => {
      release = await occupy(name);
      return 3;
    },
  });
  await using kernel = await testKernel({
    tools: [held],
    policy: "permit (principal, action, resource);",
    log: { name },
  });
  await using agent = await kernel.spawn({ name: "once", program: await loadGuest("requests") });
  const run = agent.run({ stdin: '{"tool":"hold"}\n' });
  const [stdout, stderr] = [run.stdout.getReader(), run.stderr.getReader()];
  const { value } = await stdout.read();
  expect(new TextDecoder().decode(value)).toBe('{"ok":3}\n');
  const ended: string[] = [];
  // In the very turn in which it learns of the end, stdout's reader runs the agent, and stderr's finds it running.
  const next = stdout.read().then(({ done }) => {
    ended.push(`stdout ${done}`);
    return agent.run();
  });
  const busy = stderr.read().then(({ done }) => {
    ended.push(`stderr ${done}`);
    return expect(() => agent.run()).toThrow("The agent is running");
  });
  // Long enough for the program to return and its worker to report it. On a slow machine this proves less.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const early = [...ended];
  release();
  expect(early).toEqual([]);
  expect(await next.then(({ result }) => result)).toMatchObject({ status: "exited", exitCode: 0 });
  await busy;
  expect(ended).toEqual(["stdout true", "stderr true"]);
  const ofRun = (await entriesOf(kernel)).filter((entry) => "run" in entry && entry.run === run.id);
  expect(ofRun.at(-1)).toMatchObject({ type: "run-end" });
});

test("an outcome that cannot be written: the run stops, and no further effect happens", async () => {
  const name = crypto.randomUUID();
  const breaking = defineTool({
    name: "add",
    description: "Adds two integers, after which the disk is full.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: () => {
      failWrites(1);
      return 3;
    },
  });
  const kernel = await testKernel({
    tools: [breaking, wipe],
    policy: "permit (principal, action, resource);",
    log: { name },
  });
  const agent = await kernel.spawn({ name: "job", program: await loadGuest("agent"), files: { "in.txt": "x" } });
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "stopped", limit: "log-unavailable" });
  expect(effects).toEqual([]);
  await kernel.close();
  Object.assign(IDBObjectStore.prototype, writes);
  await using again = await createKernel({ log: { name } });
  expect(await entriesOf(again, "outcome")).toMatchObject([{ status: "unknown" }]);
});

const decisions: [name: string, decide: () => Promise<Decision>][] = [
  ["rejects", () => Promise.reject(new Error("broken"))],
  [
    "throws",
    () => {
      throw new Error("broken");
    },
  ],
  ["returns undefined", () => Promise.resolve(undefined as unknown as Decision)],
  ["returns an object without a decision", () => Promise.resolve({ policyDigest: "" } as Decision)],
  [
    "says Allow in capitals",
    () => Promise.resolve({ decision: "ALLOW", policies: [], errors: [], policyDigest: "" } as unknown as Decision),
  ],
  [
    "allows with errors",
    () => Promise.resolve({ decision: "allow", policies: [], errors: ["one was skipped"], policyDigest: "" }),
  ],
];

test.each(decisions)("the policy engine %s: the call is denied, and nothing is done", async (_, decide) => {
  effects.length = 0;
  const engine: PolicyEngine = {
    callable: async () => new Set(),
    loaded: undefined,
    load: () => Promise.reject(new Error()),
    decide,
    explain: () => Promise.reject(new Error()),
    try: () => Promise.reject(new Error()),
    lease: () => Promise.reject(new Error()),
    close: () => {},
  };
  await using log = await openLog({ name: crypto.randomUUID() });
  const agent = { name: "a", id: "1", program: "0".repeat(64) };
  await log.append({ type: "agent-spawn", agent, limits: {}, seed: 1, isolation: "opaque", machine: "wt1/1/1" });
  await log.append({ type: "run-start", agent, run: "1/1", args: [], env: [], startTime: 0 });
  const broker = new Broker(new Map([["add", add]]), engine, log);
  const caller = {
    agent,
    run: "1/1",
    call: 1,
    callBytes: 1000,
    signal: new AbortController().signal,
    taint: new Taint(),
    hold: () => () => {},
  };
  const request = new TextEncoder().encode('{"tool":"add","input":{"a":1,"b":2}}');
  const answer = JSON.parse(new TextDecoder().decode((await broker.handle(caller, request)).bytes));
  expect(answer).toMatchObject({ error: { code: "denied" } });
  expect(effects).toEqual([]);
});

test("without a policy every call is denied", async () => {
  await using kernel = await createKernel({ tools: [add, wipe], log: { name: crypto.randomUUID() } });
  await using agent = await kernel.spawn({ name: "job", program: await loadGuest("agent"), files: { "in.txt": "x" } });
  effects.length = 0;
  const { stdout } = await finish(agent.run());
  expect(stdout).toContain('add: {"error":{"code":"denied"');
  expect(effects).toEqual([]);
});

test("where Cedar does not load, no kernel is made, and the log is released", async () => {
  const log = { name: crypto.randomUUID() };
  const cedar = new URL("/no/such/cedar.wasm", location.href);
  await expect(createKernel({ policy, log, cedar })).rejects.toMatchObject({ code: "policy-unavailable" });
  await using kernel = await createKernel({ log });
  expect(kernel.log.size).toBeGreaterThan(0);
});

test("a policy that overflows while it is evaluated denies, although a permit matches", async () => {
  const overflowing = `
    permit (principal, action, resource);
    forbid (principal, action == Action::"call:add", resource) when { context.input.a * 9223372036854775807 > 1 };
  `;
  await using kernel = await testKernel({ policy: overflowing });
  await using agent = await kernel.spawn({ name: "job", program: await loadGuest("agent"), files: { "in.txt": "x" } });
  await finish(agent.run());
  const denials = await entriesOf(kernel, "denial");
  expect(denials[0]).toMatchObject({ action: "call:add", reason: "forbidden" });
  expect(effects.filter((effect) => effect.startsWith("add"))).toEqual([]);
});

test("a policy that does not parse or validate is refused with its position, and the old one stays", async () => {
  const log = { name: crypto.randomUUID() };
  for (const bad of ["permit (", `permit (principal, action == Action::"call:nothing", resource);`]) {
    await expect(createKernel({ policy: bad, tools: [add], log })).rejects.toMatchObject({ code: "invalid-policy" });
  }
  await using kernel = await createKernel({ policy, tools: [add, wipe], log });
  const { loaded } = kernel.policy;
  await expect(kernel.policy.load("permit (principal, action, resource) when { context.input.a < };")).rejects.toThrow(
    /1:\d+|line 1/,
  );
  expect(kernel.policy.loaded).toBe(loaded);
  expect(await entriesOf(kernel, "policy-refused")).toHaveLength(3);
});

test("a new policy applies from the next call on", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  expect((await finish(agent.run())).stdout).toContain('{"ok":3}');
  await kernel.policy.load(`forbid (principal, action, resource);`);
  expect((await finish(agent.run())).stdout).toContain('"denied"');
  const loads = await entriesOf(kernel, "policy-load");
  expect(loads[1]).toMatchObject({ previous: loads[0]!.policyDigest });
});

test("a tool that throws or returns nonsense gives the guest an answer, and its run continues", async () => {
  const circular: { self?: unknown } = {};
  circular.self = circular;
  const answers: [() => unknown, string][] = [
    [() => circular, "tool-error"],
    [() => () => 1, "tool-error"],
    [() => 10n, "tool-error"],
    [() => "\ud800", "tool-error"],
    [() => "x".repeat(2000), "too-large"],
    [() => Promise.reject(new Error("no such thing")), "no such thing"],
    [() => undefined, '{"ok":null}'],
  ];
  for (const [execute, expected] of answers) {
    const odd = defineTool({
      name: "add",
      description: "Answers oddly.",
      inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
      execute,
    });
    await using kernel = await testKernel({ tools: [odd], policy: "permit (principal, action, resource);" });
    const program = await loadGuest("call");
    await using agent = await kernel.spawn({ name: "call", program, limits: { callBytes: 1000 } });
    const { stdout, result } = await finish(agent.run());
    expect(stdout).toContain(expected);
    expect(result.status).toBe("exited");
    expect(await entriesOf(kernel, "outcome")).toHaveLength(1);
  }
});

test("a tool that never answers is abandoned when the run is stopped, and its outcome is unknown", async () => {
  const { promise: called, resolve: isCalled } = Promise.withResolvers<AbortSignal>();
  const never = defineTool({
    name: "add",
    description: "Never answers.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: (_input, context) => {
      isCalled(context.signal);
      return new Promise(() => {});
    },
  });
  await using kernel = await testKernel({ tools: [never], policy: "permit (principal, action, resource);" });
  await using agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  const run = agent.run();
  const ended = finish(run);
  const signal = await called;
  run.stop();
  const { result } = await ended;
  expect(result).toMatchObject({ status: "stopped", limit: "aborted" });
  // The guest, waiting for its answer, heard the stop and ended in order: the agent lives on.
  expect(result.digest).not.toBeNull();
  expect(signal.aborted).toBe(true);
  expect(await entriesOf(kernel, "outcome")).toMatchObject([{ status: "unknown" }]);
});
