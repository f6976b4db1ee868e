/** Budgets that agents spend together. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Budget, defineTool, type KernelOptions } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { calls, entriesOf, testKernel } from "../../setup/kernel.ts";

const ALL = `@id("all") permit (principal, action, resource);`;

/** What was paid. A call may cost up to `most`, and costs `cents`. */
const paid: number[] = [];
const pay = defineTool({
  name: "pay",
  description: "Pays.",
  inputSchema: {
    type: "object",
    properties: { cents: { type: "integer" }, most: { type: "integer" }, fail: { type: "boolean" } },
    required: ["cents"],
  },
  cost: ({ cents, most }) => ({ cents: most ?? cents }),
  execute: async ({ cents, fail }, { charge }) => {
    await new Promise((resolve) => setTimeout(resolve));
    if (fail) throw new Error("The bank is closed.");
    paid.push(cents);
    charge("cents", cents);
    return cents;
  },
});

async function paying(budgets: Record<string, Budget>, options: KernelOptions = {}) {
  paid.length = 0;
  const kernel = await testKernel({ policy: ALL, tools: [pay], budgets, ...options });
  const agent = await kernel.spawn({ name: "payer", program: await loadGuest("requests") });
  return { kernel, agent, [Symbol.asyncDispose]: () => kernel.close() };
}

const request = (cents: number, most?: number) => ({
  tool: "pay",
  input: { cents, ...(most !== undefined && { most }) },
});
const denied = { error: { code: "denied", message: "The call may cost more than is left to spend." } };

test("the maximum cost of a call is reserved and its actual cost charged; beyond the limit calls are denied, and the log says why", async () => {
  await using it = await paying({ money: { of: "cents", limit: 100, per: "agent" } });
  expect(await calls(it.agent, request(10, 90), request(91), request(90), request(1))).toEqual([
    { ok: 10 },
    denied,
    { ok: 90 },
    denied,
  ]);
  expect(paid).toEqual([10, 90]);
  // The budget is per agent: a second run gets no more.
  expect(await calls(it.agent, request(1))).toEqual([denied]);
  const intents = await entriesOf(it.kernel, "intent");
  expect(intents.map(({ facts }) => facts!.budget)).toEqual([
    { money: { used: 90, left: 10, limit: 100 } },
    { money: { used: 100, left: 0, limit: 100 } },
  ]);
  expect((await entriesOf(it.kernel, "outcome")).map(({ cost }) => cost)).toMatchObject([
    { calls: 1, cents: 10 },
    { cents: 90 },
  ]);
  expect((await entriesOf(it.kernel, "denial"))[0]).toMatchObject({
    reason: "budget-exceeded",
    policies: [],
    errors: ["budget money: the call may cost 91 cents, 90 are left"],
  });
  expect(await verify(await openBundle(await it.kernel.log.export()))).toMatchObject({ ok: true, problems: [] });
});

test("agents that pay at the same time never spend more than the budget together", async () => {
  await using it = await paying({ money: { of: "cents", limit: 100, per: "kernel" } });
  const program = await loadGuest("requests");
  const agents = await Promise.all(["a", "b", "c"].map((name) => it.kernel.spawn({ name, program })));
  await Promise.all(agents.map((agent) => calls(agent, ...Array.from({ length: 12 }, () => request(7)))));
  expect(paid).toHaveLength(14);
  expect(await entriesOf(it.kernel, "denial")).toHaveLength(36 - 14);
});

test("a policy sees what would be left, and may be stricter", async () => {
  const policy = `${ALL} @id("keep-half") forbid (principal, action, resource) when { context.vak.budget.money.left < 50 };`;
  await using it = await paying({ money: { of: "cents", limit: 100, per: "run" } }, { policy });
  expect(await calls(it.agent, request(50), request(1))).toMatchObject([
    { ok: 50 },
    { error: { message: "A policy forbids this call." } },
  ]);
  // The denied call cost nothing.
  expect((await entriesOf(it.kernel, "denial"))[0]!.facts!.budget).toEqual({
    money: { used: 51, left: 49, limit: 100 },
  });
  const call = { agent: it.agent, tool: "pay", input: { cents: 1 } };
  expect((await it.kernel.policy.explain(call)).decision).toBe("allow");
  const spent = { money: { used: 60, left: 40, limit: 100 } };
  expect((await it.kernel.policy.explain({ ...call, vak: { budget: spent } })).decision).toBe("deny");
});

test("the kernel counts calls and bytes, per run and per tool", async () => {
  await using it = await paying({
    two: { of: "calls", limit: 2, per: "run", tools: ["pay"] },
    bytes: { of: "bytes", limit: 3_000_000, per: "agent" },
  });
  const results = await calls(it.agent, request(1), request(2), request(3));
  expect(results).toEqual([{ ok: 1 }, { ok: 2 }, denied]);
  expect(await calls(it.agent, request(4))).toEqual([{ ok: 4 }]);
  const [outcome] = await entriesOf(it.kernel, "outcome");
  const sent = JSON.stringify(request(1)).length + JSON.stringify({ ok: 1 }).length;
  expect(outcome!.cost).toEqual({ calls: 1, bytes: sent, cents: 1 });
});

test("a tool that fails without a charge costs everything reserved", async () => {
  await using it = await paying({ money: { of: "cents", limit: 100, per: "run" } });
  const answers = await calls(it.agent, { tool: "pay", input: { cents: 60, fail: true } }, request(41), request(40));
  expect(answers).toMatchObject([{ error: { code: "tool-error" } }, denied, { ok: 40 }]);
});

test("a run that is stopped while the tool works has spent everything reserved", async () => {
  const began = Promise.withResolvers<void>();
  const slow = defineTool({
    name: "pay",
    description: "Never ends.",
    inputSchema: { type: "object", properties: { cents: { type: "integer" } } },
    cost: () => ({ cents: 60 }),
    execute: (_, { charge }) => {
      charge("cents", 1);
      began.resolve();
      return new Promise(() => {});
    },
  });
  await using it = await paying({ money: { of: "cents", limit: 100, per: "agent" } }, { tools: [slow] });
  const run = it.agent.run({ stdin: `${JSON.stringify(request(1))}\n` });
  await began.promise;
  run.stop();
  await run.result;
  expect(await entriesOf(it.kernel, "outcome")).toMatchObject([{ status: "unknown", cost: { cents: 60 } }]);
  expect(await calls(it.agent, request(1))).toEqual([denied]);
});

test.each<[string, () => unknown]>([
  [
    "throws",
    () => {
      throw new Error("no price");
    },
  ],
  ["is not a whole number", () => ({ cents: 0.5 })],
  ["is not a whole number in a unit without a budget", () => ({ cents: 1, tokens: 0.5 })],
  ["is a promise", () => Promise.resolve({ cents: 1 })],
])("a call is denied if its cost %s", async (_, cost) => {
  const odd = defineTool({ ...pay, cost: cost as () => { cents: number } });
  await using it = await paying({ money: { of: "cents", limit: 100, per: "run" } }, { tools: [odd] });
  expect(await calls(it.agent, request(1))).toEqual([denied]);
  expect(paid).toEqual([]);
});

test("nobody is asked about a call that exceeds a budget, and a refused call costs nothing", async () => {
  const asked: unknown[] = [];
  await using it = await paying(
    { money: { of: "cents", limit: 100, per: "run" } },
    {
      policy: "permit (principal, action, resource) when { context.vak.approved };",
      onApproval: ({ input }) => {
        asked.push(input);
        return { approve: asked.length > 1, by: "ann" };
      },
    },
  );
  expect(await calls(it.agent, request(101), request(100), request(100))).toMatchObject([
    denied,
    { error: {} },
    { ok: 100 },
  ]);
  expect(asked).toEqual([{ cents: 100 }, { cents: 100 }]);
});

test("budgets are in the log with the policy's base, and the tests of a policy pack can use them", async () => {
  const policies = `${ALL} forbid (principal, action, resource) when { context.vak.budget.money.left < 50 };`;
  const spent = { budget: { money: { used: 51, left: 49, limit: 100 } } };
  await using it = await paying(
    { money: { of: "cents", limit: 100, per: "run" } },
    {
      policy: {
        policies,
        tests: [
          { tool: "pay", input: { cents: 1 }, expect: "allow" },
          { tool: "pay", input: { cents: 1 }, vak: spent, expect: "deny" },
        ],
      },
    },
  );
  expect(JSON.parse(it.kernel.policy.loaded!.base).budgets).toEqual({ money: { of: "cents", limit: 100, per: "run" } });
  await expect(
    it.kernel.policy.load("forbid (principal, action, resource) when { context.vak.budget.mony.left < 50 };"),
  ).rejects.toMatchObject({ code: "invalid-policy" });
});

test("createKernel refuses a budget that is not valid", async () => {
  const budgets = { money: { of: "cents", limit: -1, per: "run" as const } };
  await expect(testKernel({ budgets })).rejects.toMatchObject({ code: "invalid-argument" });
});
