/** Calls that a person is asked about. */
import { expect, test, vi } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import {
  type ApprovalAnswer,
  type ApprovalRequest,
  createKernel,
  defineTool,
  type KernelOptions,
} from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, calls, effects, entriesOf, finish, started, testKernel, wipe } from "../../setup/kernel.ts";

const policy = `
  @id("asked") @reason("Adding is a serious matter.")
  permit (principal, action == Action::"call:add", resource) when { context.vak.approved };
  @id("small") permit (principal, action == Action::"call:add", resource) when { context.input.a < 10 };
  @id("never-13") forbid (principal, action == Action::"call:add", resource) when { context.input.b == 13 };
`;

const yes = { approve: true, by: "ann" };
const no = { approve: false, by: "ann" };
const sum = (a: number, b: number) => ({ tool: "add", input: { a, b } });

/** A kernel where a person answers, an agent that makes calls, and what the person was shown. */
async function asking(
  answer: (request: ApprovalRequest, signal: AbortSignal) => ApprovalAnswer | Promise<ApprovalAnswer>,
  options: KernelOptions = {},
) {
  const asked: ApprovalRequest[] = [];
  const kernel = await testKernel({
    policy,
    onApproval: (request, { signal }) => {
      asked.push(request);
      return answer(request, signal);
    },
    ...options,
  });
  const agent = await kernel.spawn({ name: "asker", program: await loadGuest("requests") });
  return { kernel, agent, asked, [Symbol.asyncDispose]: () => kernel.close() };
}

const verified = async (kernel: Awaited<ReturnType<typeof createKernel>>) =>
  expect(await verify(await openBundle(await kernel.log.export()))).toMatchObject({ ok: true, problems: [] });

test("a person is asked only where the policy asks, and sees the call; who answered, and when, is in the log before the intent", async () => {
  await using it = await asking(() => yes);
  expect(await calls(it.agent, sum(1, 2), sum(50, 2), { tool: "wipe", input: {} })).toMatchObject([
    { ok: 3 },
    { ok: 52 },
    { error: { code: "denied", message: "No policy permits this call." } },
  ]);
  expect(it.asked).toEqual([
    {
      agent: { id: it.agent.id, name: "asker", program: it.agent.program },
      run: `${it.agent.id}/1`,
      call: 2,
      tool: { name: "add", description: "Adds two integers." },
      input: { a: 50, b: 2 },
      labels: [],
      policies: ["asked"],
      annotations: { asked: { reason: "Adding is a serious matter." } },
      callDigest: expect.stringMatching(/^[0-9a-f]{64}$/),
      expires: expect.any(Number),
    },
  ]);
  const entries = (await entriesOf(it.kernel)).filter((entry) => "call" in entry && entry.call === 2);
  expect(entries.map(({ type }) => type)).toEqual(["approval-request", "approval", "intent", "outcome"]);
  const [request, approval, intent] = entries;
  const { callDigest } = it.asked[0]!;
  expect(request).toMatchObject({ callDigest, policies: ["asked"], expires: it.asked[0]!.expires });
  expect(approval).toMatchObject({ requestOf: request!.seq, callDigest, verdict: "granted", by: "ann", scope: "call" });
  expect(approval!.time).toBeGreaterThanOrEqual(request!.time);
  expect(intent).toMatchObject({ approval: approval!.seq, callDigest, facts: { approved: true }, policies: ["asked"] });
  await verified(it.kernel);
});

test("a call that a person refuses has no effect", async () => {
  await using it = await asking(() => no);
  expect(await calls(it.agent, sum(50, 2))).toEqual([
    { error: { code: "denied", message: "A person was asked about this call and refused it." } },
  ]);
  expect(effects).toEqual([]);
  const [denial] = await entriesOf(it.kernel, "denial");
  const [approval] = await entriesOf(it.kernel, "approval");
  expect(approval).toMatchObject({ verdict: "refused", by: "ann", scope: null });
  expect(denial).toMatchObject({ reason: "approval-refused", approval: approval!.seq, facts: { approved: false } });
  await verified(it.kernel);
});

test("attack: a replayed approval. It covers one call; the same call asks again", async () => {
  const answers = [yes, no, yes];
  await using it = await asking(() => answers.shift()!);
  expect(await calls(it.agent, sum(50, 2), sum(50, 2), sum(50, 2))).toMatchObject([
    { ok: 52 },
    { error: { code: "denied" } },
    { ok: 52 },
  ]);
  expect(new Set(it.asked.map(({ callDigest }) => callDigest)).size).toBe(3);
  expect(effects).toEqual(["add 50 2", "add 50 2"]);
});

test("an approval for a run covers the same tool with the same input, in that run, under that policy, and nothing else", async () => {
  const answers: ApprovalAnswer[] = [{ ...yes, for: "run" }];
  await using it = await asking(() => answers.shift() ?? no);
  expect(
    await calls(
      it.agent,
      sum(50, 2),
      { tool: "add", input: { b: 2, a: 50 } }, // the same, written differently
      sum(50, 3),
      sum(51, 2),
      sum(50, 2),
    ),
  ).toMatchObject([{ ok: 52 }, { ok: 52 }, { error: {} }, { error: {} }, { ok: 52 }]);
  expect(it.asked.map(({ input }) => input)).toEqual([
    { a: 50, b: 2 },
    { a: 50, b: 3 },
    { a: 51, b: 2 },
  ]);
  const intents = await entriesOf(it.kernel, "intent");
  const [granted] = await entriesOf(it.kernel, "approval");
  expect(intents.map(({ approval }) => approval)).toEqual(Array(3).fill(granted!.seq));
  // Another run has to ask again.
  expect(await calls(it.agent, sum(50, 2))).toMatchObject([{ error: {} }]);
  await verified(it.kernel);
});

test("attack: a policy that changes after an approval for a run. The approval no longer counts", async () => {
  const answers: ApprovalAnswer[] = [{ ...yes, for: "run" }];
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const wait = defineTool({
    name: "wipe",
    description: "Waits.",
    inputSchema: { type: "object" },
    execute: async () => {
      reached.resolve();
      await gate.promise;
      return null;
    },
  });
  const both = `${policy} permit (principal, action == Action::"call:wipe", resource);`;
  await using it = await asking(() => answers.shift() ?? no, { policy: both, tools: [add, wait] });
  const answered = calls(it.agent, sum(50, 2), { tool: "wipe" }, sum(50, 2));
  await reached.promise;
  await it.kernel.policy.load(`${both} // changed`);
  gate.resolve();
  expect(await answered).toMatchObject([{ ok: 52 }, { ok: null }, { error: {} }]);
  expect(it.asked).toHaveLength(2);
  await verified(it.kernel);
});

test("an approval never overrides a forbid: nobody is even asked", async () => {
  await using it = await asking(() => yes);
  expect(await calls(it.agent, sum(50, 13))).toMatchObject([{ error: { message: "A policy forbids this call." } }]);
  expect(it.asked).toEqual([]);
  await expect(
    it.kernel.policy.load(`forbid (principal, action, resource) unless { context.vak.approved };`),
  ).rejects.toMatchObject({
    code: "invalid-policy",
    message: expect.stringContaining("no approval overrides a forbid"),
  });
});

test("attack: the policy is changed while the person thinks. The answer does not count; the new policy decides", async () => {
  let reload: Promise<unknown> | undefined;
  await using it = await asking(async () => {
    reload ??= it.kernel.policy.load(`${policy} @id("closed") forbid (principal, action, resource);`);
    await reload;
    return yes;
  });
  expect(await calls(it.agent, sum(50, 2))).toMatchObject([{ error: { message: "A policy forbids this call." } }]);
  expect(it.asked).toHaveLength(1);
  expect(effects).toEqual([]);
  expect((await entriesOf(it.kernel, "denial"))[0]).toMatchObject({ reason: "forbidden", policies: ["closed"] });
  await verified(it.kernel);
});

test("a forbid that begins to match while the person thinks denies the call", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  try {
    const closing = `${policy} @id("closed") forbid (principal, action, resource) when { context.vak.now >= datetime("2090-01-01") };`;
    await using it = await asking(
      () => {
        vi.setSystemTime(Date.UTC(2090, 0, 2));
        return yes;
      },
      { policy: closing },
    );
    expect(await calls(it.agent, sum(50, 2))).toMatchObject([{ error: { message: "A policy forbids this call." } }]);
    const [denial] = await entriesOf(it.kernel, "denial");
    expect(denial).toMatchObject({ reason: "forbidden", policies: ["closed"], facts: { approved: true } });
    expect(effects).toEqual([]);
    await verified(it.kernel);
  } finally {
    vi.useRealTimers();
  }
});

test("no answer in time means no: the signal fires, and a later answer does not count", async () => {
  const late = Promise.withResolvers<ApprovalAnswer>();
  let given: AbortSignal | undefined;
  await using it = await asking(
    (_, signal) => {
      given = signal;
      return late.promise;
    },
    { approvalMs: 1 },
  );
  expect(await calls(it.agent, sum(50, 2))).toMatchObject([{ error: { message: expect.stringContaining("in time") } }]);
  expect(given!.aborted).toBe(true);
  late.resolve(yes);
  await late.promise;
  expect(effects).toEqual([]);
  expect(await entriesOf(it.kernel, "approval")).toMatchObject([{ verdict: "expired", by: null, scope: null }]);
  expect(await entriesOf(it.kernel, "denial")).toMatchObject([{ reason: "approval-expired" }]);
  await verified(it.kernel);
});

const broken: [what: string, answer: () => unknown][] = [
  [
    "throws",
    () => {
      throw new Error("no window");
    },
  ],
  ["rejects", () => Promise.reject(new Error("no window"))],
  ["returns nothing", () => undefined],
  ["returns true", () => true],
  ["approves without a name", () => ({ approve: true })],
  ["approves in a name that cannot be printed", () => ({ approve: true, by: "a\u202eb" })],
  ["approves with a word", () => ({ approve: "yes", by: "ann" })],
  ["approves for ever", () => ({ approve: true, by: "ann", for: "ever" })],
];

test.each(broken)("onApproval that %s means no", async (_, answer) => {
  await using it = await asking(answer as () => ApprovalAnswer);
  expect(await calls(it.agent, sum(50, 2))).toMatchObject([{ error: { message: expect.stringContaining("nobody") } }]);
  expect(effects).toEqual([]);
  expect(await entriesOf(it.kernel, "approval")).toMatchObject([{ verdict: "failed", by: null }]);
  expect((await entriesOf(it.kernel, "denial"))[0]!.errors).toHaveLength(1);
  await verified(it.kernel);
});

test("without onApproval, a call that needs approval is denied, and no request is in the log", async () => {
  await using kernel = await testKernel({ policy });
  await using agent = await kernel.spawn({ name: "asker", program: await loadGuest("requests") });
  expect(await calls(agent, sum(50, 2))).toMatchObject([{ error: { message: expect.stringContaining("nobody") } }]);
  expect(await entriesOf(kernel, "approval-request")).toEqual([]);
  expect(await entriesOf(kernel, "denial")).toMatchObject([{ reason: "approval-unavailable", policies: ["asked"] }]);
  await verified(kernel);
});

test("a run that is stopped while a person is asked ends at once, and the request is withdrawn", async () => {
  const asked = Promise.withResolvers<AbortSignal>();
  await using it = await asking((_, signal) => {
    asked.resolve(signal);
    return new Promise(() => {});
  });
  const run = it.agent.run({ stdin: `${JSON.stringify(sum(50, 2))}\n` });
  const signal = await asked.promise;
  run.stop();
  expect((await run.result).status).toBe("stopped");
  expect(signal.aborted).toBe(true);
  expect(await entriesOf(it.kernel, "approval")).toMatchObject([{ verdict: "withdrawn", by: null }]);
  expect(await entriesOf(it.kernel, "denial")).toMatchObject([{ reason: "approval-withdrawn" }]);
  await verified(it.kernel);
});

test("a kernel can be closed while a person is asked, and its log verifies", async () => {
  const asked = Promise.withResolvers<void>();
  const log = { name: crypto.randomUUID() };
  const it = await asking(
    () => {
      asked.resolve();
      return new Promise(() => {});
    },
    { log },
  );
  const run = it.agent.run({ stdin: `${JSON.stringify(sum(50, 2))}\n` });
  await started(it.kernel, run);
  await asked.promise;
  await it.kernel.close();
  await using again = await createKernel({ log });
  expect(await entriesOf(again, "recovery")).toEqual([]);
  await verified(again);
});

test("the deadline is paused while a person is asked, even if the run is paused and resumed meanwhile", async () => {
  const limits = { deadlineMs: 4900 }; // not 5000: the rollback guard has a timer of that length, which must not be counted
  const asked = Promise.withResolvers<void>();
  const go = Promise.withResolvers<ApprovalAnswer>();
  await using kernel = await testKernel({
    policy,
    onApproval: () => {
      asked.resolve();
      return go.promise;
    },
  });
  await using agent = await kernel.spawn({ name: "asker", program: await loadGuest("requests"), limits });
  // Counts the timers of about the deadline's length: made, and still live. No time is measured.
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const live = new Set<unknown>();
  let made = 0;
  globalThis.setTimeout = ((work: () => void, ms = 0) => {
    const id = set(() => {
      live.delete(id);
      work();
    }, ms);
    if (ms > 1000 && ms <= limits.deadlineMs) made += live.add(id) ? 1 : 0;
    return id;
  }) as typeof setTimeout;
  globalThis.clearTimeout = ((id: Parameters<typeof clear>[0]) => {
    live.delete(id);
    clear(id);
  }) as typeof clearTimeout;
  try {
    const run = agent.run({ stdin: `${JSON.stringify(sum(50, 2))}\n` });
    const end = finish(run);
    await asked.promise;
    expect([made, live.size]).toEqual([1, 0]);
    run.pause();
    run.resume();
    expect([made, live.size]).toEqual([1, 0]);
    go.resolve(yes);
    expect((await end).stdout).toContain('{"ok":52}');
    expect([made, live.size]).toEqual([2, 0]);
  } finally {
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  }
});

test("a person is not shown secrets, and changing the request does not change the call", async () => {
  const seen: unknown[] = [];
  const login = defineTool({
    name: "login",
    description: "Logs in.",
    inputSchema: {
      type: "object",
      properties: { user: { type: "string" }, password: { type: "string", writeOnly: true } },
      required: ["user", "password"],
    },
    execute: (input) => {
      seen.push({ ...input });
      return null;
    },
  });
  await using it = await asking(
    (request) => {
      const shown = request as unknown as { input: { user: string }; agent: { name: string } };
      expect(shown.input).toEqual({ user: "ann", password: null });
      shown.input.user = "eve";
      shown.agent.name = "eve";
      return yes;
    },
    { tools: [login], policy: "permit (principal, action, resource) when { context.vak.approved };" },
  );
  const input = { user: "ann", password: "hunter2" };
  expect(await calls(it.agent, { tool: "login", input })).toEqual([{ ok: null }]);
  expect(seen).toEqual([input]);
  expect((await entriesOf(it.kernel, "intent"))[0]).toMatchObject({ agent: { name: "asker" } });
});

test("two agents can be asked about at once, and each gets its own answer", async () => {
  const waiting = new Map<string, (answer: ApprovalAnswer) => void>();
  await using kernel = await testKernel({
    policy,
    onApproval: ({ agent }) => new Promise((resolve) => waiting.set(agent.name, resolve)),
  });
  const program = await loadGuest("requests");
  await using one = await kernel.spawn({ name: "one", program });
  await using two = await kernel.spawn({ name: "two", program });
  const answers = [calls(one, sum(50, 2)), calls(two, sum(50, 2))];
  await expect.poll(() => waiting.size).toBe(2);
  waiting.get("two")!(no);
  waiting.get("one")!(yes);
  expect(await Promise.all(answers)).toMatchObject([[{ ok: 52 }], [{ error: { code: "denied" } }]]);
  await verified(kernel);
});

test.each([{ onApproval: "ask" }, { approvalMs: 0 }, { approvalMs: 2 ** 31 }, { approvalMs: Number.NaN }])(
  "createKernel refuses %j",
  async (options) => {
    await expect(testKernel(options as never)).rejects.toMatchObject({ code: "invalid-argument" });
  },
);

test("explain says that a person would be asked", async () => {
  await using kernel = await testKernel({ policy, tools: [add, wipe] });
  const agent = { name: "x", program: "" };
  const call = { agent, tool: "add", input: { a: 50, b: 1 } };
  expect(await kernel.policy.explain(call)).toMatchObject({ decision: "ask", policies: ["asked"] });
  expect(await kernel.policy.explain({ ...call, vak: { approved: true } })).toMatchObject({ decision: "allow" });
});

test("for every k: when the log fails at the k-th write of a call that needs approval, no effect is without an approval and an intent", async () => {
  const writes = { put: IDBObjectStore.prototype.put, add: IDBObjectStore.prototype.add };
  let stages = 0;
  try {
    for (let k = 1; ; k++) {
      const log = { name: crypto.randomUUID() };
      const it = await asking(() => yes, { log });
      const run = it.agent.run({ stdin: `${JSON.stringify(sum(50, 2))}\n` });
      await started(it.kernel, run);
      let count = 0;
      for (const name of ["put", "add"] as const) {
        IDBObjectStore.prototype[name] = function (this: IDBObjectStore, ...args: [unknown, IDBValidKey?]) {
          if (++count >= k) throw new DOMException("the disk is full", "QuotaExceededError");
          return writes[name].apply(this, args);
        };
      }
      const { result, stdout } = await finish(run);
      Object.assign(IDBObjectStore.prototype, writes);
      await it.kernel.close();
      await using again = await createKernel({ log });
      const types = (await entriesOf(again)).map(({ type }) => type);
      if (effects.length > 0) expect(types).toEqual(expect.arrayContaining(["approval-request", "approval", "intent"]));
      await verified(again);
      if (count < k) {
        expect(result.status).toBe("exited");
        expect(stdout).toContain('{"ok":52}');
        break;
      }
      stages++;
    }
  } finally {
    Object.assign(IDBObjectStore.prototype, writes);
  }
  // One write each at least for the approval-request, the approval and the intent; more if they are not batched.
  expect(stages).toBeGreaterThanOrEqual(3);
});
