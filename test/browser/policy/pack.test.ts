/** Policy packs in force: loaded, refused and replaced. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { effects, entriesOf, finish, policy, testKernel } from "../../setup/kernel.ts";

const pack = {
  policies: policy,
  tests: [
    { tool: "add", input: { a: 99, b: 0 }, expect: "allow" as const, by: ["small-sums"] },
    { tool: "wipe", input: { path: "/" }, expect: "deny" as const },
  ],
};

test("a policy pack is in force and in the log; one whose test fails is refused, and the old one stays in force", async () => {
  await using kernel = await testKernel({ policy: pack });
  await using agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  const { loaded } = kernel.policy;
  const worse = { ...pack, policies: "permit (principal, action, resource);" };
  await expect(kernel.policy.load(worse)).rejects.toMatchObject({
    code: "invalid-policy",
    message: expect.stringContaining("test 2 expects deny, but the decision is: allow"),
  });
  expect(kernel.policy.loaded).toBe(loaded);
  expect((await finish(agent.run())).stdout).toContain('{"ok":3}');

  await kernel.policy.load("forbid (principal, action, resource);");
  expect((await finish(agent.run())).stdout).toContain('"denied"');
  const loads = await entriesOf(kernel, "policy-load");
  expect(loads.map(({ previous }) => previous)).toEqual([null, loads[0]!.policyDigest]);
  expect(loads[0]!.policyDigest).toBe(loaded!.digest);
  expect(loads[1]!.baseDigest).toBe(loads[0]!.baseDigest);
  expect(await entriesOf(kernel, "policy-refused")).toHaveLength(1);

  await agent.close();
  await kernel.log.checkpoint();
  const exported = await openBundle(await kernel.log.export());
  expect([...(await exported.paths())].filter((path) => path.startsWith("policies/")).sort()).toEqual(
    [
      `policies/${loads[0]!.policyDigest}.json`,
      `policies/${loads[1]!.policyDigest}.cedar`,
      `policies/${loads[0]!.baseDigest}.json`,
    ].sort(),
  );
  expect(await verify(exported)).toMatchObject({ ok: true, problems: [] });
});

test("a call that is under way finishes under the policy that allowed it", async () => {
  const began = Promise.withResolvers<void>();
  const go = Promise.withResolvers<number>();
  const { defineTool } = await import("../../../src/index.ts");
  const slow = defineTool({
    name: "add",
    description: "Adds, when the test lets it.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: () => {
      began.resolve();
      return go.promise;
    },
  });
  await using kernel = await testKernel({ policy: "permit (principal, action, resource);", tools: [slow] });
  await using agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  const run = finish(agent.run());
  await began.promise;
  const { digest } = kernel.policy.loaded!;
  await kernel.policy.load("forbid (principal, action, resource);");
  go.resolve(3);
  expect((await run).stdout).toContain('{"ok":3}');
  const [intent] = await entriesOf(kernel, "intent");
  expect(intent).toMatchObject({ policyDigest: digest, facts: { calls: 0, now: expect.any(Number) } });
  expect((await entriesOf(kernel, "outcome"))[0]).toMatchObject({ intentOf: intent!.seq, status: "ok" });
  expect(effects).toEqual([]);
});

test("a log whose first policy has no base continues with one that has", async () => {
  const { openLog } = await import("../../../src/log/log.ts");
  const name = crypto.randomUUID();
  const log = await openLog({ name });
  await log.append({ type: "policy-load", policies: ["policy0"] }, { policy });
  await log.close();
  await using kernel = await testKernel({ log: { name } });
  await kernel.close();
  await using again = await testKernel({ log: { name } });
  const loads = await entriesOf(again, "policy-load");
  expect(loads.map(({ baseDigest }) => baseDigest !== undefined)).toEqual([false, true, true]);
  expect(await verify(await openBundle(await again.log.export()))).toMatchObject({ ok: true, problems: [] });
});

test("a shadow decision is in the log and nowhere else; a guest reads a policy's advice, but not its reason", async () => {
  await using kernel = await testKernel({
    policy: `
      @id("all") permit (principal, action, resource);
      @id("no-adds") @mode("shadow") forbid (principal, action == Action::"call:add", resource);
      @id("no-wipes") @reason("We were burnt.") @advice("Move it to the trash.")
      forbid (principal, action == Action::"call:wipe", resource);
    `,
  });
  await using agent = await kernel.spawn({
    name: "agent",
    program: await loadGuest("agent"),
    files: { "in.txt": "x" },
  });
  await finish(agent.run());
  expect(effects).toEqual(["add 1 2"]);
  expect((await entriesOf(kernel, "intent"))[0]!.shadow).toEqual({
    decision: "deny",
    reason: "forbidden",
    policies: ["no-adds"],
    errors: [],
  });
  expect((await entriesOf(kernel, "denial"))[0]!.shadow).toMatchObject({ decision: "deny", policies: ["no-wipes"] });
  expect(await verify(await openBundle(await kernel.log.export()))).toMatchObject({ ok: true, problems: [] });

  await kernel.policy.load(
    `@id("none") @reason("Closed.") @advice("Come back later.") forbid (principal, action, resource);`,
  );
  await using caller = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  const { stdout } = await finish(caller.run());
  expect(JSON.parse(stdout)).toEqual({
    error: { code: "denied", message: "A policy forbids this call. Come back later." },
  });
});

test("explain says what would be decided and why; it runs nothing and logs nothing", async () => {
  await using kernel = await testKernel();
  const agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  const { size } = kernel.log;
  const explain = (tool: string, input: unknown) => kernel.policy.explain({ agent, tool, input });
  expect(await explain("add", { a: 99, b: 1 })).toEqual({
    decision: "allow",
    policies: ["small-sums"],
    because: [{ id: "small-sums", annotations: {}, text: expect.stringContaining("context.input.a < 100") }],
    errors: [],
    policyDigest: kernel.policy.loaded!.digest,
  });
  expect(await explain("add", { a: 100, b: 1 })).toMatchObject({ decision: "deny", reason: "no-permit", because: [] });
  expect(await explain("add", { a: "1", b: 1 })).toMatchObject({ decision: "deny", reason: "invalid-input" });
  expect(await explain("fetch", {})).toMatchObject({ decision: "deny", reason: "unknown-tool" });
  expect(effects).toEqual([]);
  expect(kernel.log.size).toBe(size);
});

test("explain reads the call before it returns to its caller, whatever the page changes afterwards", async () => {
  await using kernel = await testKernel();
  const call = {
    agent: { name: "a", program: "", labels: ["one"] },
    tool: "add",
    input: { a: 1, b: 1 },
    vak: { calls: 0, approved: false },
  };
  const explained = kernel.policy.explain(call);
  call.input.a = 100;
  call.tool = "fetch";
  call.agent.labels.push("not a label, but a text with spaces");
  expect(await explained).toMatchObject({ decision: "allow", policies: ["small-sums"] });
});

test("simulate says what another policy would have decided about the calls of a log, live or exported", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "agent",
    program: await loadGuest("agent"),
    files: { "in.txt": "x" },
  });
  await finish(agent.run());
  const { size } = kernel.log;
  const closed = "forbid (principal, action, resource);";
  const { decisions, same, changed, undecided } = await kernel.policy.simulate(kernel.log, closed);
  expect({ decisions, same, undecided }).toEqual({ decisions: 2, same: 1, undecided: [] });
  expect(changed).toMatchObject([
    {
      agent: { id: agent.id },
      tool: "add",
      was: { decision: "allow", policies: ["small-sums"] },
      would: { decision: "deny", reason: "forbidden", policies: ["policy0"], errors: [] },
    },
  ]);
  const zip = await kernel.log.export();
  expect(await kernel.policy.simulate(zip, policy)).toEqual({ decisions: 2, same: 2, changed: [], undecided: [] });
  expect(await kernel.policy.simulate(await openBundle(zip), closed)).toMatchObject({ same: 1 });
  await expect(kernel.policy.simulate(zip, "permit (")).rejects.toMatchObject({ code: "invalid-policy" });
  expect(kernel.policy.loaded!.text).toBe(policy);
  expect(kernel.log.size).toBe(size);

  const { redecide } = await import("../../../src/policy/redecide.ts");
  const { cedarWasmUrl } = await import("../../../src/policy/cedar/wasm-url.ts");
  expect(await redecide(await openBundle(zip), { wasm: cedarWasmUrl })).toMatchObject({ decisions: 2, agreed: 2 });
});

test("a constitution holds through every reload and approval, and the log has all of it", async () => {
  const constitution = `@id("no-adding") @advice("Do not add.") forbid (principal, action == Action::"call:add", resource);`;
  await using kernel = await testKernel({ constitution, onApproval: () => ({ approve: true, by: "ann" }) });
  await using agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  for (const source of [
    "permit (principal, action, resource);",
    "permit (principal, action, resource) when { context.vak.approved };",
  ]) {
    await kernel.policy.load(source);
    expect((await finish(agent.run())).stdout).toContain("A policy forbids this call. Do not add.");
  }
  expect(effects).toEqual([]);
  expect((await entriesOf(kernel, "denial")).map(({ policies }) => policies)).toEqual([["no-adding"], ["no-adding"]]);
  const [loadEntry] = await entriesOf(kernel, "policy-load");
  const bundle = await openBundle(await kernel.log.export());
  const base = await bundle.read(`policies/${loadEntry!.baseDigest}.json`, 100_000);
  expect(JSON.parse(new TextDecoder().decode(base)).constitution).toBe(constitution);
  const { redecide } = await import("../../../src/policy/redecide.ts");
  const { cedarWasmUrl } = await import("../../../src/policy/cedar/wasm-url.ts");
  expect(await redecide(bundle, { wasm: cedarWasmUrl })).toMatchObject({ decisions: 2, agreed: 2 });
  await expect(testKernel({ constitution: "permit (principal, action, resource);" })).rejects.toMatchObject({
    code: "invalid-policy",
  });
});
