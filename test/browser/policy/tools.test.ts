/** A guest lists its tools: those that it could ever be allowed to call, and no others. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { createKernel, defineTool, type Kernel, type KernelOptions } from "../../../src/index.ts";
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";
import { redecide } from "../../../src/policy/redecide.ts";
import { replay } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, calls, effects, entriesOf, testKernel, wipe } from "../../setup/kernel.ts";

const program = await loadGuest("requests");

const mail = defineTool({
  name: "mail",
  title: "Send a letter",
  description: "Sends a letter.",
  inputSchema: { type: "object", properties: { to: { type: "string" } }, required: ["to"] },
  annotations: { openWorldHint: true },
  execute: () => {
    effects.push("mail");
    return null;
  },
});

const policy = `
  @id("sums") permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };
  @id("mail") permit (principal, action == Action::"call:mail", resource) when { context.vak.approved };
  @id("never") forbid (principal, action == Action::"call:wipe", resource);
`;
const list = { tool: "vak.tools" };

const kernelWith = (options: KernelOptions = {}) => testKernel({ policy, tools: [add, wipe, mail], ...options });
const namesIn = (answer: unknown) => (answer as { ok: { name: string }[] }).ok.map(({ name }) => name);

async function check(kernel: Kernel) {
  const bundle = await openBundle(await kernel.log.export());
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  expect(await redecide(bundle, { wasm: cedarWasmUrl })).toMatchObject({ differing: [], undecided: [] });
  return bundle;
}

test("a guest gets the tools that it could call, described as MCP does; the log says so before the answer, and it is no decision", async () => {
  await using kernel = await kernelWith();
  await using agent = await kernel.spawn({ name: "lister", program });
  const [answer, sum] = await calls(agent, list, { tool: "add", input: { a: 1, b: 2 } });
  expect(answer).toEqual({
    ok: [
      { name: "add", description: "Adds two integers.", inputSchema: add.inputSchema },
      {
        name: "mail",
        title: "Send a letter",
        description: "Sends a letter.",
        inputSchema: mail.inputSchema,
        annotations: { openWorldHint: true },
      },
    ],
  });
  expect(sum).toEqual({ ok: 3 });
  const entries = (await entriesOf(kernel)).filter((entry) => "call" in entry);
  expect(entries.map(({ type, call }) => `${call} ${type}`)).toEqual(["1 tools-listed", "2 intent", "2 outcome"]);
  expect(entries[0]).toMatchObject({
    resource: "vak.tools",
    tools: ["add", "mail"],
    policyDigest: kernel.policy.loaded!.digest,
  });
  expect(entries[1]).toMatchObject({ facts: { calls: 1 } }); // it counts as a call
  await check(kernel);
});

test("the list is recorded: a replay, which has no kernel, is the same", async () => {
  await using kernel = await kernelWith();
  await using agent = await kernel.spawn({ name: "lister", program, seed: 1 });
  await calls(agent, list, { tool: "add", input: { a: 1, b: 2 } }, list);
  const replayed = await replay(await check(kernel), 1, { program });
  expect(replayed).toMatchObject({ verdict: "same", calls: 3, divergence: null, missing: null });
});

test("the list follows each grant, attenuation and revocation of the agent and its parent", async () => {
  await using kernel = await kernelWith();
  const parent = await kernel.spawn({ name: "parent", program, grants: ["add", "mail"] });
  const child = await kernel.spawn({ name: "child", program, parent, grants: ["mail"] });
  const listed = async (agent: typeof parent) => namesIn((await calls(agent, list))[0]);
  expect(await listed(parent)).toEqual(["add", "mail"]);
  expect(await listed(child)).toEqual(["mail"]);
  await parent.attenuate(["add"]);
  expect(await listed(parent)).toEqual(["add"]);
  expect(await listed(child)).toEqual([]);
  await parent.revoke();
  expect(await listed(parent)).toEqual([]);
  await check(kernel);
});

test("a lease adds its tools to the list while it lasts, but never forbidden ones", async () => {
  await using kernel = await kernelWith({
    policy: `@id("never") forbid (principal, action == Action::"call:wipe", resource);`,
  });
  const agent = await kernel.spawn({ name: "lister", program });
  const other = await kernel.spawn({ name: "lister", program });
  const lease = await agent.lease({ permit: "permit (principal, action, resource);" });
  expect(namesIn((await calls(agent, list))[0])).toEqual(["add", "mail"]);
  expect(namesIn((await calls(other, list))[0])).toEqual([]);
  await lease.end();
  expect(namesIn((await calls(agent, list))[0])).toEqual([]);
  await check(kernel);
});

test("a new policy counts from the next list on; a constitution hides tools, a shadow policy does not", async () => {
  await using kernel = await kernelWith({
    constitution: `forbid (principal, action == Action::"call:mail", resource);`,
    policy: `permit (principal, action, resource); @mode("shadow") forbid (principal, action, resource);`,
  });
  const agent = await kernel.spawn({ name: "lister", program });
  expect(namesIn((await calls(agent, list))[0])).toEqual(["add", "wipe"]);
  await kernel.policy.load(`permit (principal, action == Action::"call:wipe", resource);`);
  expect(namesIn((await calls(agent, list))[0])).toEqual(["wipe"]);
  expect((await entriesOf(kernel, "tools-listed")).map(({ tools }) => tools)).toEqual([["add", "wipe"], ["wipe"]]);
  await check(kernel);
});

test("without a policy the list is empty", async () => {
  await using kernel = await createKernel({ tools: [add], log: { name: crypto.randomUUID() } });
  const agent = await kernel.spawn({ name: "lister", program });
  expect(await calls(agent, list)).toEqual([{ ok: [] }]);
  expect(await entriesOf(kernel, "tools-listed")).toMatchObject([{ tools: [], policyDigest: "" }]);
  expect(await verify(await openBundle(await kernel.log.export()))).toMatchObject({ ok: true });
});

test("attack: input smuggled into the request for the list. It is refused, and nothing is listed", async () => {
  await using kernel = await kernelWith();
  const agent = await kernel.spawn({ name: "lister", program });
  const inputs = [{ all: true }, ["wipe"], "wipe", 0, null, JSON.parse('{"__proto__": {"all": true}}')];
  const answers = await calls(agent, ...inputs.map((input) => ({ ...list, input })), { ...list, input: {} });
  for (const answer of answers.slice(0, -1)) expect(answer).toMatchObject({ error: { code: "invalid-input" } });
  expect(namesIn(answers.at(-1))).toEqual(["add", "mail"]);
  expect((await entriesOf(kernel, "denial")).map(({ reason, resource }) => `${reason} ${resource}`)).toEqual(
    Array(inputs.length).fill("invalid-input vak.tools"),
  );
  await check(kernel);
});

test("attack: a list that is longer than an answer can be. None of it reaches the guest", async () => {
  await using kernel = await kernelWith();
  const agent = await kernel.spawn({ name: "lister", program, limits: { callBytes: 200 } });
  expect(await calls(agent, list)).toMatchObject([{ error: { code: "too-large" } }]);
  expect(await entriesOf(kernel, "tools-listed")).toMatchObject([{ tools: [] }]);
  await check(kernel);
});

test("attack: a flood of requests for the list. Each counts as a call, and the limit of calls holds", async () => {
  await using kernel = await kernelWith();
  const agent = await kernel.spawn({ name: "lister", program, limits: { calls: 5 } });
  const run = agent.run({ stdin: `${JSON.stringify(list)}\n`.repeat(50) });
  expect(await run.result).toMatchObject({ status: "stopped", limit: "calls" });
  expect(await entriesOf(kernel, "tools-listed")).toHaveLength(5);
});

test("attack: a tool with the name of the list. No kernel is created with it", async () => {
  const posing = defineTool({
    name: "vak.tools",
    description: "x",
    inputSchema: { type: "object" },
    execute: () => null,
  });
  await expect(testKernel({ tools: [posing] })).rejects.toMatchObject({ code: "invalid-tool" });
});
