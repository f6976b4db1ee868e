/** Which tools an agent and its children may call. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { createKernel, defineTool, type Kernel, type KernelOptions } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, calls, effects, entriesOf, testKernel, wipe } from "../../setup/kernel.ts";

const ALL = `@id("all") permit (principal, action, resource);`;
const program = await loadGuest("requests");
const sum = { tool: "add", input: { a: 1, b: 2 } };
const clear = { tool: "wipe", input: { path: "x" } };
const notGranted = { error: { code: "denied", message: "The agent has no right to use this tool." } };
const revoked = { error: { code: "denied", message: "The agent's rights were revoked." } };

const kernelWith = (options: KernelOptions = {}) => testKernel({ policy: ALL, ...options });

const verified = async (kernel: Kernel) =>
  expect(await verify(await openBundle(await kernel.log.export()))).toMatchObject({ ok: true, problems: [] });

/** A tool that awaits some work of the test before it answers. */
function during(work: () => Promise<unknown>) {
  return defineTool({
    name: "wipe",
    description: "Waits for other work.",
    inputSchema: { type: "object", properties: { path: { type: "string" } } },
    execute: async () => {
      await work();
      return "done";
    },
  });
}

test("an agent can call only tools that it was granted; the log says which, and why a call was denied", async () => {
  await using kernel = await kernelWith();
  await using agent = await kernel.spawn({ name: "a", program, grants: ["add"] });
  expect(await calls(agent, sum, clear)).toEqual([{ ok: 3 }, notGranted]);
  expect(effects).toEqual(["add 1 2"]);
  expect((await entriesOf(kernel, "agent-spawn"))[0]).toMatchObject({ grants: ["add"] });
  expect((await entriesOf(kernel, "denial"))[0]).toMatchObject({
    reason: "not-granted",
    policies: [],
    resource: "wipe",
  });
  await verified(kernel);
});

test("grants permit nothing: what the policy does not allow stays denied", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "a", program, grants: ["add", "wipe"] });
  expect(await calls(agent, clear)).toMatchObject([{ error: { message: "No policy permits this call." } }]);
});

test("a child never has more than its parent", async () => {
  await using kernel = await kernelWith();
  await using parent = await kernel.spawn({ name: "parent", program, grants: ["add"] });
  for (const grants of [["wipe"], ["add", "wipe"], ["nothing"], "add"]) {
    await expect(kernel.spawn({ name: "child", program, parent, grants: grants as string[] })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  }
  await using child = await kernel.spawn({ name: "child", program, parent });
  expect(await calls(child, sum, clear)).toEqual([{ ok: 3 }, notGranted]);
  await using none = await kernel.spawn({ name: "none", program, parent, grants: [] });
  expect(await calls(none, sum)).toEqual([notGranted]);
  const spawned = await entriesOf(kernel, "agent-spawn");
  expect(spawned.map(({ parent, grants }) => ({ parent, grants }))).toEqual([
    { grants: ["add"] },
    { parent: parent.id },
    { parent: parent.id, grants: [] },
  ]);
  await verified(kernel);
});

test("attenuate counts from the next call on, even in the middle of a run, also for children, and cannot be undone", async () => {
  let narrow = async () => {};
  await using kernel = await kernelWith({ tools: [add, during(() => narrow())] });
  await using agent = await kernel.spawn({ name: "a", program });
  await using child = await kernel.spawn({ name: "child", program, parent: agent });
  narrow = () => agent.attenuate(["wipe"]);
  expect(await calls(agent, sum, clear, sum)).toEqual([{ ok: 3 }, { ok: "done" }, notGranted]);
  expect(await calls(child, sum)).toEqual([notGranted]);
  narrow = async () => {};
  await expect(agent.attenuate(["add"])).rejects.toMatchObject({ code: "invalid-argument" });
  await expect(child.attenuate(["add"])).rejects.toMatchObject({ code: "invalid-argument" });
  await agent.attenuate([]);
  expect(await calls(agent, clear)).toEqual([notGranted]);
  expect((await entriesOf(kernel, "agent-attenuate")).map(({ grants }) => grants)).toEqual([["wipe"], []]);
  await verified(kernel);
});

test("revoke takes all rights from the agent and its descendants, even in the middle of a run, and it can have no new children", async () => {
  let take = async () => {};
  await using kernel = await kernelWith({ tools: [add, during(() => take())] });
  await using parent = await kernel.spawn({ name: "parent", program });
  await using child = await kernel.spawn({ name: "child", program, parent });
  await using grandchild = await kernel.spawn({ name: "grandchild", program, parent: child });
  await using other = await kernel.spawn({ name: "other", program });
  take = () => parent.revoke();
  // The call that is under way finishes.
  expect(await calls(grandchild, sum, clear, sum)).toEqual([{ ok: 3 }, { ok: "done" }, revoked]);
  expect(await calls(child, sum)).toEqual([revoked]);
  expect(await calls(parent, sum)).toEqual([revoked]);
  expect(await calls(other, sum)).toEqual([{ ok: 3 }]);
  await parent.revoke();
  expect(await entriesOf(kernel, "agent-revoke")).toMatchObject([{ agent: { id: parent.id } }]);
  expect((await entriesOf(kernel, "denial")).map(({ reason }) => reason)).toEqual(["revoked", "revoked", "revoked"]);
  await expect(kernel.spawn({ name: "late", program, parent: child })).rejects.toMatchObject({
    code: "invalid-argument",
  });
  await expect(child.attenuate([])).rejects.toMatchObject({ code: "invalid-argument" });
  await verified(kernel);
});

test("attack: rights that are revoked while a person thinks. The approval comes too late", async () => {
  let revoke = async () => {};
  await using kernel = await kernelWith({
    policy: "permit (principal, action, resource) when { context.vak.approved };",
    onApproval: async () => {
      await revoke();
      return { approve: true, by: "ann" };
    },
  });
  await using agent = await kernel.spawn({ name: "a", program });
  revoke = () => agent.revoke();
  expect(await calls(agent, sum)).toEqual([revoked]);
  expect(effects).toEqual([]);
  await verified(kernel);
});

test("attack: rights that are revoked while the policy decides. The log's order counts", async () => {
  await using kernel = await kernelWith();
  const agents = await Promise.all(["a", "b", "c", "d"].map((name) => kernel.spawn({ name, program })));
  const many = agents.map((agent) => calls(agent, ...Array.from({ length: 30 }, () => sum)));
  for (const agent of agents) {
    await new Promise((resolve) => setTimeout(resolve));
    await agent.revoke();
  }
  for (const answers of await Promise.all(many)) expect(answers).toHaveLength(30);
  await verified(kernel);
});

test("an agent that is closed, or that belongs to another kernel, cannot be a parent", async () => {
  await using kernel = await kernelWith();
  await using other = await createKernel({ log: { name: crypto.randomUUID() }, tools: [add, wipe] });
  const closed = await kernel.spawn({ name: "closed", program });
  const foreign = await other.spawn({ name: "foreign", program });
  await closed.close();
  for (const parent of [closed, foreign]) {
    await expect(kernel.spawn({ name: "child", program, parent })).rejects.toMatchObject({ code: "invalid-argument" });
  }
  await expect(closed.revoke()).rejects.toMatchObject({ code: "closed" });
  await expect(closed.attenuate([])).rejects.toMatchObject({ code: "closed" });
});
