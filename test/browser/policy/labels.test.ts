/** Labels: what agents have read, and what the policy makes of it. */
import { expect, onTestFinished, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Agent, defineTool, type Kernel, type KernelOptions } from "../../../src/index.ts";
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";
import { redecide } from "../../../src/policy/redecide.ts";
import { stockPolicies } from "../../../src/policy/stock.ts";
import { forkPoint, replay } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { calls, effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

const program = await loadGuest("requests");
const writer = await loadGuest("agent");

const here = { openWorldHint: false, destructiveHint: false };
const text = { type: "object", properties: { text: { type: "string" } } } as const;

/** A test sets this to act during a call. */
const during: { vault: () => unknown; box: () => unknown } = { vault: () => "", box: () => "" };
const box: string[] = [];
const tool = (name: string, more: object, execute: (text: string) => unknown = () => name) =>
  defineTool({
    name,
    description: `Does ${name}.`,
    inputSchema: text,
    ...more,
    execute: async ({ text = "" }) => {
      effects.push(`${name} ${text}`);
      return execute(text);
    },
  });
const tools = [
  tool("mail", { annotations: here, labels: { returns: ["untrusted"] } }),
  tool("vault", { annotations: here, labels: { returns: ["secret"] } }, async () => (await during.vault()) || "vault"),
  tool("send", { annotations: { destructiveHint: false } }),
  tool("delete", { annotations: { openWorldHint: false } }),
  tool("both", {}),
  tool("plain", { annotations: here }),
  tool("untrusted-only", { annotations: here, labels: { accepts: ["untrusted"] } }),
  tool("public", { annotations: here, labels: { accepts: [] } }),
  tool("put", { annotations: here, labels: { keeps: "box" } }, (text) => box.push(text)),
  tool("take", { annotations: here, labels: { keeps: "box" } }, async () => (await during.box()) || box.pop()),
  tool("fails", { annotations: here, labels: { returns: ["secret"] } }, () => {
    throw new Error("the secret is 7");
  }),
];
const all = "permit (principal, action, resource);";

const ok = (value: unknown) => ({ ok: value });
const forbidden = { error: { code: "denied", message: expect.stringContaining("A policy forbids this call.") } };
const refused = { error: { code: "denied", message: "The tool does not accept what this agent has read." } };
const [mail, vault, send, remove, plain] = ["mail", "vault", "send", "delete", "plain"].map((tool) => ({ tool }));
const put = { tool: "put", input: { text: "it" } };
const take = { tool: "take" };

async function withKernel(use: (kernel: Kernel) => Promise<void>, options: KernelOptions = {}): Promise<void> {
  Object.assign(during, { vault: () => "", box: () => "" });
  box.length = 0;
  await using kernel = await testKernel({ policy: all, constitution: stockPolicies, tools, ...options });
  await use(kernel);
  const bundle = await openBundle(await kernel.log.export());
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  const { decisions, agreed, differing, undecided } = await redecide(bundle, { wasm: cedarWasmUrl });
  expect({ agreed, differing, undecided }).toEqual({ agreed: decisions, differing: [], undecided: [] });
}

const withAgent = (use: (kernel: Kernel, agent: Agent) => Promise<void>, options: KernelOptions = {}) =>
  withKernel(async (kernel) => use(kernel, await kernel.spawn({ name: "a", program })), options);

test("what a tool returns labels the agent before it has the answer; the stock policies forbid from then on", () =>
  withAgent(async (kernel, agent) => {
    const both = { tool: "both" };
    expect(await calls(agent, send!, remove!, both, mail!, send!, remove!, both)).toEqual([
      ...[ok("send"), ok("delete"), ok("both"), ok("mail")],
      ...[ok("send"), forbidden, forbidden],
    ]);
    expect(agent.labels).toEqual(["untrusted"]);
    expect(await calls(agent, vault!, send!, plain!)).toEqual([ok("vault"), forbidden, ok("plain")]);
    expect(agent.labels).toEqual(["secret", "untrusted"]);
    const outcomes = await entriesOf(kernel, "outcome");
    expect(outcomes.map(({ labels }) => labels)).toEqual([
      ...[undefined, undefined, undefined, ["untrusted"]],
      ...[undefined, ["secret"], undefined],
    ]);
    const denials = await entriesOf(kernel, "denial");
    expect(denials.map(({ policies, facts }) => [policies, facts!.labels])).toEqual([
      [["untrusted-to-destructive"], ["untrusted"]],
      [["untrusted-to-destructive"], ["untrusted"]],
      [["secret-to-network"], ["secret", "untrusted"]],
    ]);
    expect(effects).not.toContain("send vault");
  }));

test("a tool can be called only by agents whose labels it accepts, whatever the policy says", () =>
  withAgent(
    async (kernel, agent) => {
      const [only, none] = [{ tool: "untrusted-only" }, { tool: "public" }];
      expect(await calls(agent, only, none, mail!, only, none, vault!, only)).toEqual([
        ...[ok("untrusted-only"), ok("public"), ok("mail"), ok("untrusted-only"), refused],
        ...[ok("vault"), refused],
      ]);
      expect(await entriesOf(kernel, "denial")).toMatchObject([
        { reason: "label-not-accepted", policies: [], errors: ["the tool does not accept untrusted"] },
        { reason: "label-not-accepted", policies: [], errors: ["the tool does not accept secret"] },
      ]);
      const asked = { agent, tool: "public" };
      expect(await kernel.policy.explain(asked)).toMatchObject({ decision: "deny", reason: "label-not-accepted" });
      expect(await kernel.policy.explain({ ...asked, vak: { labels: [] } })).toMatchObject({ decision: "allow" });
    },
    { constitution: "" },
  ));

test("a tool's errors are labelled as its answers are", () =>
  withAgent(async (_, agent) => {
    expect(await calls(agent, { tool: "fails" }, send!)).toMatchObject([{ error: { code: "tool-error" } }, forbidden]);
  }));

test("policies, the tests of policy packs and leases can use labels that the app defines", () =>
  withAgent(
    async (_, agent) => {
      await agent.label(["customer:42"]);
      expect(await calls(agent, send!, plain!)).toEqual([forbidden, ok("plain")]);
      await agent.lease({
        permit: `permit (principal, action, resource) unless { context.vak.labels.contains("x") };`,
      });
      expect(await calls(agent, remove!)).toEqual([ok("delete")]);
      await agent.label(["x"]);
      expect(await calls(agent, remove!)).toMatchObject([{ error: { code: "denied" } }]);
    },
    {
      policy: {
        policies: `
          permit (principal, action in [Action::"call:send", Action::"call:plain"], resource);
          forbid (principal, action in Action::"network", resource)
          when { context.vak.labels.containsAny(["customer:41", "customer:42"]) };`,
        tests: [
          { tool: "send", expect: "allow" },
          { tool: "send", vak: { labels: ["customer:42"] }, expect: "deny" },
        ],
      },
    },
  ));

test("labelled files, input and programs label the agent, read or not, and files that it writes carry its labels", () =>
  withKernel(async (kernel) => {
    const files = { "in.txt": { data: "three apples", labels: ["secret"] }, "other.txt": "x" };
    await using a = await kernel.spawn({ name: "a", program: writer, files, labels: ["untrusted"] });
    expect(a.labels).toEqual(["secret", "untrusted"]);
    await finish(a.run({ labels: ["mine"] }));
    expect((await a.files.stat("out/result.txt")).labels).toEqual(["mine", "secret", "untrusted"]);
    await a.files.write("more.txt", "y", { labels: ["more"] });
    await a.files.write("more.txt", "z", { labels: ["more"] });
    expect(a.labels).toEqual(["mine", "more", "secret", "untrusted"]);
    expect((await entriesOf(kernel, "agent-spawn"))[0]!.labels).toEqual(["secret", "untrusted"]);
    expect((await entriesOf(kernel, "run-start"))[0]!.labels).toEqual(["mine"]);
    expect((await entriesOf(kernel, "agent-label")).map(({ labels }) => labels)).toEqual([["more"]]);
  }));

test("the host can declassify: the log says who did and why, and it counts from the next call on", () =>
  withAgent(async (kernel, agent) => {
    expect(await calls(agent, vault!, mail!, send!)).toEqual([ok("vault"), ok("mail"), forbidden]);
    const why = { by: "ann", reason: "I read it: there is nothing in it." };
    await agent.declassify(["secret"], why);
    expect(agent.labels).toEqual(["untrusted"]);
    expect(await calls(agent, send!, remove!)).toEqual([ok("send"), forbidden]);
    expect(await entriesOf(kernel, "agent-declassify")).toMatchObject([{ labels: ["secret"], ...why }]);
    expect(await calls(agent, vault!, send!)).toEqual([ok("vault"), forbidden]);
    const report = await verify(await openBundle(await kernel.log.export()));
    expect(report.declassified).toMatchObject([{ agent: { name: "a" }, labels: ["secret"], ...why }]);
  }));

// ── Attacks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test("attack: a confused deputy through files. What one agent read, no other can send", () =>
  withKernel(async (kernel) => {
    await using a = await kernel.spawn({
      name: "a",
      program: writer,
      files: { "in.txt": { data: "the secret", labels: ["secret"] } },
    });
    await using b = await kernel.spawn({ name: "b", program });
    await finish(a.run());
    expect(await calls(b, send!)).toEqual([ok("send")]);
    await a.files.copy("out/result.txt", b.files, "in.txt");
    expect(await b.files.text("in.txt")).toContain("the secret");
    expect(await calls(b, send!)).toEqual([forbidden]);
    // And then to a third agent.
    await using c = await kernel.spawn({ name: "c", program });
    await b.files.copy("in.txt", c.files);
    expect(await calls(c, send!)).toEqual([forbidden]);
  }));

test("attack: a confused deputy through messages. What one agent puts into a store labels every agent that takes something out", () =>
  withKernel(async (kernel) => {
    await using a = await kernel.spawn({ name: "a", program });
    await using b = await kernel.spawn({ name: "b", program });
    expect(await calls(b, take, send!)).toEqual([ok(null), ok("send")]);
    expect(await calls(a, put)).toEqual([ok(1)]);
    expect(await calls(b, take, send!)).toEqual([ok("it"), ok("send")]);
    expect(await calls(a, vault!, put)).toEqual([ok("vault"), ok(1)]);
    expect(await calls(b, take, send!)).toEqual([ok("it"), forbidden]);
    // Putting something in returns how much is there, and so labels too.
    await using c = await kernel.spawn({ name: "c", program });
    expect(await calls(c, put, send!)).toEqual([ok(1), forbidden]);
  }));

test("attack: a message that is taken before it is put. The label comes with the answer, not with the request", () =>
  withKernel(async (kernel) => {
    await using a = await kernel.spawn({ name: "a", program, labels: ["secret"] });
    await using b = await kernel.spawn({ name: "b", program });
    during.box = async () => {
      during.box = () => "";
      await calls(a, put);
    };
    expect(await calls(b, take, send!)).toEqual([ok("it"), forbidden]);
  }));

test("attack: a parent that sends through a child, or reads through one. The labels pass both ways", async () => {
  const spawned: { kernel?: Kernel; parent?: Agent } = {};
  const ask = defineTool({
    name: "ask",
    description: "Has another agent do it.",
    inputSchema: { type: "object", properties: { tool: { type: "string" } }, required: ["tool"] },
    annotations: here,
    execute: async ({ tool }, { label }) => {
      await using child = await spawned.kernel!.spawn({ name: "child", program, parent: spawned.parent! });
      const [answer] = await calls(child, { tool });
      label(child.labels);
      return answer;
    },
  });
  const asking = (tool: string) => ({ tool: "ask", input: { tool } });
  await withKernel(
    async (kernel) => {
      await using parent = await kernel.spawn({ name: "parent", program });
      Object.assign(spawned, { kernel, parent });
      expect(await calls(parent, asking("send"), vault!, asking("send"))).toEqual([
        ...[ok(ok("send")), ok("vault")],
        ok({ error: { code: "denied", message: expect.any(String) } }),
      ]);
      await using other = await kernel.spawn({ name: "other", program });
      Object.assign(spawned, { parent: other });
      expect(await calls(other, asking("vault"), send!)).toEqual([ok(ok("vault")), forbidden]);
    },
    { tools: [...tools, ask] },
  );
});

test("attack: TOCTOU between a label and a call. What reaches the agent while a call is decided counts", async () => {
  const written = Promise.withResolvers<unknown>();
  const agents = Promise.withResolvers<Agent>();
  let questions = 0;
  await withKernel(
    async (kernel) => {
      await using agent = await kernel.spawn({ name: "a", program });
      agents.resolve(agent);
      expect(await calls(agent, send!)).toEqual([forbidden]);
      await written.promise;
      expect(await agent.files.text("late.txt")).toBe("secret");
      expect(questions).toBe(1);
      const [approval] = await entriesOf(kernel, "approval");
      expect(approval).toMatchObject({ verdict: "granted" });
      expect(await entriesOf(kernel, "denial")).toMatchObject([
        { reason: "forbidden", facts: { labels: ["secret"], approved: false } },
      ]);
      expect(effects).toEqual([]);
    },
    {
      policy: "permit (principal, action, resource) when { context.vak.approved };",
      onApproval: async () => {
        questions++;
        const agent = await agents.promise;
        // A worker that waits for an answer takes the file only after it; the label counts at once.
        written.resolve(agent.files.write("late.txt", "secret", { labels: ["secret"] }));
        return { approve: true, by: "ann" };
      },
    },
  );
});

test("a refusal is final: the person is not asked again because the agent read something meanwhile", async () => {
  const agents = Promise.withResolvers<Agent>();
  let questions = 0;
  await withKernel(
    async (kernel) => {
      await using agent = await kernel.spawn({ name: "a", program });
      agents.resolve(agent);
      expect(await calls(agent, plain!)).toMatchObject([{ error: { message: expect.stringContaining("refused it") } }]);
      expect(questions).toBe(1);
      expect(await entriesOf(kernel, "denial")).toMatchObject([
        { reason: "approval-refused", facts: { labels: ["late"] }, approval: expect.any(Number) },
      ]);
    },
    {
      policy: "permit (principal, action, resource) when { context.vak.approved };",
      onApproval: async () => {
        questions++;
        await (await agents.promise).label(["late"]);
        return { approve: false, by: "ann" };
      },
    },
  );
});

test("attack: an approval for a run, given before the agent read something. It does not count for later calls", async () => {
  const shown: (readonly string[])[] = [];
  await withKernel(
    async (kernel) => {
      await using agent = await kernel.spawn({ name: "a", program });
      expect(await calls(agent, plain!, plain!, mail!, mail!, plain!, plain!)).toMatchObject(Array(6).fill({ ok: {} }));
      expect(shown).toEqual([[], [], ["untrusted"], ["untrusted"]]);
    },
    {
      policy: "permit (principal, action, resource) when { context.vak.approved };",
      onApproval: ({ labels }) => {
        shown.push(labels);
        return { approve: true, by: "ann", for: "run" };
      },
    },
  );
});

test("attack: a label laundered by another run, or by one that was stopped. The agent keeps it", () =>
  withAgent(async (_, agent) => {
    during.vault = () => {
      agent.label(["late"]);
      return new Promise(() => {});
    };
    const run = agent.run({ stdin: `${JSON.stringify(vault)}\n` });
    await expect.poll(() => agent.labels).toEqual(["late"]);
    run.stop();
    await run.result;
    during.vault = () => "";
    expect(await calls(agent, vault!)).toEqual([ok("vault")]);
    expect(await calls(agent, send!)).toEqual([forbidden]);
    expect(agent.labels).toEqual(["late", "secret"]);
  }));

test("attack: a label laundered by a fork, from before or after it was declassified. The fork has it", () =>
  withAgent(async (kernel, agent) => {
    const stdin = [mail, vault, send].map((call) => `${JSON.stringify(call)}\n`).join("");
    await finish(agent.run({ stdin }));
    await agent.declassify(["secret"], { by: "ann", reason: "I read it." });
    await finish(agent.run({ stdin: `${JSON.stringify(send)}\n` }));
    const bundle = await openBundle(await kernel.log.export());
    expect(await replay(bundle, 2, { program })).toMatchObject({ verdict: "same" });
    const labelsAt = async (run: number, call: number) => (await forkPoint(bundle, run, { call })).labels;
    expect(await labelsAt(1, 1)).toEqual([]);
    expect(await labelsAt(1, 2)).toEqual(["untrusted"]);
    // A declassification does not carry over to a fork.
    expect(await labelsAt(2, 1)).toEqual(["secret", "untrusted"]);
    for (const [run, call] of [
      [1, 3],
      [2, 1],
    ] as const) {
      const fork = await kernel.fork(await forkPoint(bundle, run, { call }), { program });
      expect(fork.agent.labels).toEqual(["secret", "untrusted"]);
      const { stdout } = await finish(fork.run);
      expect(JSON.parse(stdout.trim().split("\n").at(-1)!)).toEqual(forbidden);
      await fork.agent.close();
    }
  }));

test("attack: a fork point without labels. It is refused", () =>
  withAgent(async (kernel, agent) => {
    await calls(agent, vault!, send!);
    const point = await forkPoint(await openBundle(await kernel.log.export()), 1, { call: 2 });
    const unsaid = { ...point, labels: undefined as never };
    await expect(kernel.fork(unsaid, { program })).rejects.toMatchObject({ code: "invalid-argument" });
  }));

test("attack: a module that carries a secret. One that was compiled beside labelled files is not shared with other agents", () =>
  withKernel(async (kernel) => {
    const asked: string[] = [];
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (this: Worker, message: { path?: string[] }, ...rest: [never]) {
      const [method] = message.path ?? [];
      if (method === "compile" || method === "adopt") asked.push(method);
      postMessage.call(this, message, ...rest);
    };
    onTestFinished(() => {
      Worker.prototype.postMessage = postMessage;
    });
    const files = { "a.txt": { data: "the secret", labels: ["secret"] } };
    await using tainted = await kernel.spawn({ name: "a", program, files });
    await using clean = await kernel.spawn({ name: "b", program });
    await using adopts = await kernel.spawn({ name: "c", program, files });
    expect(asked).toEqual(["compile", "compile", "adopt"]);
    for (const agent of [tainted, clean, adopts]) expect(await calls(agent, plain!)).toEqual([ok("plain")]);
  }));

test("attack: the page changes the list of labels that it was given. The kernel's own stays as it is", () =>
  withAgent(async (_, agent) => {
    const none = agent.labels as string[];
    await agent.label(["a"]);
    const one = agent.labels as string[];
    for (const labels of [none, one]) expect(() => labels.push("b")).toThrow(TypeError);
    expect(agent.labels).toEqual(["a"]);
  }));

test("a function's labelled input labels the agent, and simulate uses the labels that the agent had at each call", () =>
  withKernel(async (kernel) => {
    await using agent = await kernel.spawn({ name: "a", program: await loadGuest("reactor") });
    await finish(agent.call("execute", { text: "x" }, { labels: ["untrusted"] }));
    expect(agent.labels).toEqual(["untrusted"]);
    await using b = await kernel.spawn({ name: "b", program });
    await calls(b, plain!, mail!, plain!);
    const stricter = `${all} forbid (principal, action, resource) when { context.vak.labels.contains("untrusted") };`;
    const { changed, same } = await kernel.policy.simulate(kernel.log, stricter);
    expect({ same, changed: changed.map(({ call }) => call) }).toEqual({ same: 2, changed: [3] });
  }));

test("attack: an agent that is declassified while one of its files is copied. The copy keeps the label", () =>
  withKernel(async (kernel) => {
    const files = { "a.txt": { data: "the secret", labels: ["secret"] } };
    await using a = await kernel.spawn({ name: "a", program, files });
    await using b = await kernel.spawn({ name: "b", program });
    const copied = a.files.copy("a.txt", b.files);
    await a.declassify(["secret"], { by: "ann", reason: "It is not." });
    await copied;
    expect(b.labels).toEqual(["secret"]);
  }));

test("attack: more labels than an agent can have. What would bring them is refused", () =>
  withAgent(
    async (_, agent) => {
      const many = Array.from({ length: 64 }, (_, i) => `l${i}`);
      await agent.label(many);
      const tooMany = { code: "invalid-argument", message: expect.stringContaining("at most 64") };
      await expect(agent.files.write("a.txt", "x", { labels: ["more"] })).rejects.toMatchObject(tooMany);
      await expect(agent.files.read("a.txt")).rejects.toMatchObject({ code: "not-found" });
      expect(() => agent.run({ labels: ["more"] })).toThrow(expect.objectContaining(tooMany));
      await expect(agent.label(["more"])).rejects.toMatchObject(tooMany);
      expect(await calls(agent, vault!, plain!)).toMatchObject([{ error: { code: "tool-error" } }, ok("plain")]);
      expect(agent.labels).toHaveLength(64);
    },
    { constitution: "" },
  ));

test("attack: a tool that labels its answer after returning it. That is refused", async () => {
  const late = Promise.withResolvers<unknown>();
  const slow = defineTool({
    name: "slow",
    description: "Is late.",
    inputSchema: text,
    annotations: here,
    execute: (_, { label, labels }) => {
      expect(labels).toEqual([]);
      label(["in-time"]);
      setTimeout(() => {
        try {
          late.resolve(label(["late"]));
        } catch (error) {
          late.resolve(error);
        }
      }, 0);
      return "slow";
    },
  });
  await withKernel(
    async (kernel) => {
      await using agent = await kernel.spawn({ name: "a", program });
      expect(await calls(agent, { tool: "slow" })).toEqual([ok("slow")]);
      expect(await late.promise).toMatchObject({ code: "invalid-argument" });
      expect(agent.labels).toEqual(["in-time"]);
    },
    { tools: [slow] },
  );
});

// ── Misuse ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const good = { by: "ann", reason: "because" };

test.each<[string, (agent: Agent, kernel: Kernel) => unknown]>([
  ["labels that are not a list", (agent) => agent.label("secret" as never)],
  ["a label with a space", (agent) => agent.label(["a b"])],
  ["an empty label of a file", (agent) => agent.files.write("a", "b", { labels: [""] })],
  ["a label of a run that is not text", async (agent) => agent.run({ labels: [1] as never })],
  [
    "a bad label of a first file",
    (_, kernel) => kernel.spawn({ name: "b", program, files: { a: { data: "", labels: ["?"] } } }),
  ],
  ["a bad label of a new agent", (_, kernel) => kernel.spawn({ name: "b", program, labels: ["?"] })],
  ["declassifying a label that the agent does not have", (agent) => agent.declassify(["b"], good)],
  ["declassifying nothing", (agent) => agent.declassify([], good)],
  ["declassifying without a name", (agent) => agent.declassify(["a"], { ...good, by: "" })],
  ["declassifying without a reason", (agent) => agent.declassify(["a"], { by: "ann" } as never)],
  [
    "declassifying for a reason that cannot be printed",
    (agent) => agent.declassify(["a"], { ...good, reason: "\u202e" }),
  ],
])("%s is refused, and changes nothing", (_, misuse) =>
  withAgent(async (kernel, agent) => {
    await agent.label(["a"]);
    await expect(misuse(agent, kernel)).rejects.toMatchObject({ code: "invalid-argument" });
    expect(agent.labels).toEqual(["a"]);
    expect(await agent.files.list()).toEqual([]);
    const entries = await entriesOf(kernel);
    expect(entries.filter(({ type }) => type === "agent-label" || type === "agent-declassify")).toHaveLength(1);
  }),
);

test("a closed agent cannot be labelled or declassified", () =>
  withAgent(async (_, agent) => {
    await agent.label(["a"]);
    await agent.close();
    await expect(agent.label(["b"])).rejects.toMatchObject({ code: "closed" });
    await expect(agent.declassify(["a"], good)).rejects.toMatchObject({ code: "closed" });
    await expect(agent.files.write("a", "b", { labels: ["b"] })).rejects.toMatchObject({ code: "closed" });
  }));
