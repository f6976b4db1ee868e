/** Leases: permissions for the time of a task. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Agent, defineTool, type Kernel } from "../../../src/index.ts";
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";
import { redecide } from "../../../src/policy/redecide.ts";
import { loadGuest } from "../../guests/load.ts";
import { calls, entriesOf, testKernel } from "../../setup/kernel.ts";

const program = await loadGuest("requests");

/** What `look` does before it answers; a test sets it. */
const during: { work: () => Promise<unknown> } = { work: async () => {} };
const look = defineTool({
  name: "look",
  description: "Looks something up at a site.",
  inputSchema: { type: "object", properties: { site: { type: "string" } }, required: ["site"] },
  execute: async ({ site }) => {
    await during.work();
    return `from ${site}`;
  },
});
const policy = `
  @id("home") permit (principal, action, resource) when { context.input.site == "home" };
  @id("never-evil") forbid (principal, action, resource) when { context.input.site == "evil" };
`;
const weather = `@id("weather") permit (principal, action == Action::"call:look", resource) when { context.input.site == "weather" };`;

const at = (site: string) => ({ tool: "look", input: { site } });
const ok = (site: string) => ({ ok: `from ${site}` });
const denied = { error: { code: "denied", message: "No policy permits this call." } };

async function withAgent(use: (kernel: Kernel, agent: Agent) => Promise<void>, text = policy) {
  during.work = async () => {};
  await using kernel = await testKernel({ policy: text, tools: [look] });
  const agent = await kernel.spawn({ name: "a", program });
  await use(kernel, agent);
  const bundle = await openBundle(await kernel.log.export());
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  const { decisions, agreed, differing, undecided } = await redecide(bundle, { wasm: cedarWasmUrl });
  expect({ agreed, differing, undecided }).toEqual({ agreed: decisions, differing: [], undecided: [] });
}

test("a lease permits calls while its task lasts, and the log names it in each call that it allowed", () =>
  withAgent(async (kernel, agent) => {
    expect(await calls(agent, at("weather"))).toEqual([denied]);
    const task = Promise.withResolvers<void>();
    const lease = await agent.lease({ permit: weather, until: task.promise });
    expect(await calls(agent, at("weather"), at("home"), at("news"))).toEqual([ok("weather"), ok("home"), denied]);
    task.resolve();
    await expect.poll(() => lease.live).toBe(false);
    expect(await calls(agent, at("weather"))).toEqual([denied]);
    const [given] = await entriesOf(kernel, "lease");
    expect(given).toMatchObject({ permit: weather, policies: ["weather"], until: null, seq: lease.seq });
    const intents = await entriesOf(kernel, "intent");
    expect(intents.map(({ lease, policies }) => [lease, policies])).toEqual([
      [lease.seq, ["weather"]],
      [undefined, ["home"]],
    ]);
    expect(await entriesOf(kernel, "lease-end")).toMatchObject([{ lease: lease.seq }]);
    await lease.end();
  }));

test("a lease overrides no forbid, and belongs to one agent", () =>
  withAgent(async (kernel, agent) => {
    await using other = await kernel.spawn({ name: "other", program });
    await agent.lease({ permit: "permit (principal, action, resource);" });
    expect(await calls(agent, at("anything"), at("evil"))).toEqual([
      ok("anything"),
      { error: { code: "denied", message: "A policy forbids this call." } },
    ]);
    expect(await calls(other, at("anything"))).toEqual([denied]);
    expect((await entriesOf(kernel, "denial"))[0]).toMatchObject({ reason: "forbidden", policies: ["never-evil"] });
  }));

test("a lease that ends in the middle of a run allows nothing from the next call on", () =>
  withAgent(async (_, agent) => {
    const lease = await agent.lease({ permit: weather });
    during.work = () => lease.end();
    expect(await calls(agent, at("weather"), at("weather"))).toEqual([ok("weather"), denied]);
  }));

test("loading a policy ends a lease: permits given under one policy do not count under another", () =>
  withAgent(async (kernel, agent) => {
    await agent.lease({ permit: weather });
    await kernel.policy.load(`${policy} // changed`);
    expect(await calls(agent, at("weather"))).toEqual([denied]);
    await agent.lease({ permit: weather });
    expect(await calls(agent, at("weather"))).toEqual([ok("weather")]);
  }));

test("a lease with an end time ends then, and a closed agent's leases end with it", () =>
  withAgent(async (kernel, agent) => {
    const lease = await agent.lease({ permit: weather, until: Date.now() + 1000 });
    await expect.poll(async () => (await entriesOf(kernel, "lease-end")).length).toBe(1);
    expect(lease.live).toBe(false);
    expect(await calls(agent, at("weather"))).toEqual([denied]);
    const open = await agent.lease({ permit: weather });
    await agent.close();
    expect(open.live).toBe(false);
    await open.end();
    expect(await entriesOf(kernel, "lease-end")).toHaveLength(1);
    await expect(agent.lease({ permit: weather })).rejects.toMatchObject({ code: "closed" });
  }));

test("a lease does not give a right that the agent does not have", () =>
  withAgent(async (_, agent) => {
    await agent.lease({ permit: weather });
    await agent.attenuate([]);
    expect(await calls(agent, at("weather"))).toMatchObject([
      { error: { message: expect.stringContaining("no right") } },
    ]);
  }));

test("nobody is asked about a call that a lease allows, and simulate leaves such calls out", async () => {
  during.work = async () => {};
  const asked: unknown[] = [];
  await using kernel = await testKernel({
    policy: "permit (principal, action, resource) when { context.vak.approved };",
    tools: [look],
    onApproval: ({ input }) => {
      asked.push(input);
      return { approve: false, by: "ann" };
    },
  });
  await using agent = await kernel.spawn({ name: "a", program });
  await agent.lease({ permit: weather });
  expect(await calls(agent, at("weather"), at("news"))).toMatchObject([ok("weather"), { error: {} }]);
  expect(asked).toEqual([{ site: "news" }]);
  const { undecided } = await kernel.policy.simulate(kernel.log, "permit (principal, action, resource);");
  expect(undecided).toMatchObject([{ why: "a lease allowed it" }]);
});

test.each<[string, { permit: unknown; until?: unknown }, string, string]>([
  ["a forbid", { permit: "forbid (principal, action, resource);" }, "invalid-policy", "only permits"],
  ["a shadow", { permit: '@mode("shadow") permit (principal, action, resource);' }, "invalid-policy", "no @mode"],
  ["text that does not parse", { permit: "permit (" }, "invalid-policy", "The lease is refused"],
  [
    "the name of an unknown tool",
    { permit: 'permit (principal, action, resource == Tool::"lok");' },
    "invalid-policy",
    "no tool",
  ],
  [
    "an id that the policy uses",
    { permit: '@id("home") permit (principal, action, resource);' },
    "invalid-policy",
    "another policy",
  ],
  [
    "a permit that asks",
    { permit: "permit (principal, action, resource) when { context.vak.approved };" },
    "invalid-policy",
    "is an approval",
  ],
  ["a permit that is not text", { permit: 1 }, "invalid-argument", "16,384"],
  ["a permit that is too long", { permit: `${weather}${" ".repeat(16_384)}` }, "invalid-argument", "16,384"],
  ["a time that has passed", { permit: weather, until: 1 }, "invalid-argument", "a time in the future"],
  ["an until that is a word", { permit: weather, until: "tomorrow" }, "invalid-argument", "a time in the future"],
])("a lease with %s is refused", async (_, options, code, message) => {
  await withAgent(async (kernel, agent) => {
    await expect(agent.lease(options as never)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(await entriesOf(kernel, "lease")).toEqual([]);
  });
});
