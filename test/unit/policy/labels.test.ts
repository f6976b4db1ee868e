/** Labels, with the real broker, policy engine and log writer: the log agrees with the labels. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { verify } from "../../../src/audit/verify.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { label, Taint } from "../../../src/broker/taint.ts";
import type { AuditLog } from "../../../src/log/log.ts";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import { redecide } from "../../../src/policy/redecide.ts";
import { stockPolicies } from "../../../src/policy/stock.ts";
import { defineTool, type Tool, type ToolDefinition } from "../../../src/tool/definition.ts";
import { describeToPolicy, groupsOf } from "../../../src/tool/policy-view.ts";
import { addWithResolvers } from "../../setup/with-resolvers.ts";
import { AGENT, logOpen, MemoryLog, type Step } from "../audit/memory-log.ts";
import { wasmBytes } from "./wasm.ts";

addWithResolvers();

const module = await WebAssembly.compile(wasmBytes);
const names = ["a", "b", "secret", "untrusted"];
const inputSchema = {
  type: "object",
  properties: { says: { type: "array", items: { type: "string" } } },
} as const;

type Input = { says?: readonly string[] };
const tool = (name: string, more: Partial<ToolDefinition<typeof inputSchema>> = {}) =>
  defineTool({
    ...{ name, description: "-", inputSchema, annotations: { openWorldHint: false, destructiveHint: false } },
    execute: ({ says = [] }: Input, { label }) => label(says),
    ...more,
  }) as Tool;
const tools = [
  tool("says"),
  tool("mail", { labels: { returns: ["untrusted"] } }),
  tool("send", { annotations: {} }),
  tool("takes-a", { labels: { accepts: ["a"] } }),
  tool("box", { labels: { keeps: "box" } }),
  tool("fails", {
    labels: { returns: ["b"] },
    execute: () => {
      throw new Error("no");
    },
  }),
];

/** Agents of one kernel, each in a run. */
async function start(count: number) {
  const log = new MemoryLog();
  const post = (...step: Step) => log.append(...step);
  const append = async (...step: Step) => ({ seq: post(...step) });
  const audit = { append, post } as unknown as AuditLog;
  await append(...(await logOpen()));
  const engine = createCedarEngine({ tools: tools.map(describeToPolicy), constitution: stockPolicies, wasm: module });
  await engine.load("permit (principal, action, resource);", async ({ policies, text, base }) => {
    await append({ type: "policy-load", policies: [...policies] }, { policy: text, base });
  });
  const broker = new Broker(new Map(tools.map((tool) => [tool.name, tool])), engine, audit);
  const agents = [];
  for (let i = 0; i < count; i++) {
    const ref = { ...AGENT, id: `a${i}` };
    await append({ type: "agent-spawn", agent: ref, limits: {}, seed: 1, isolation: "opaque", machine: "m" });
    await append({ type: "run-start", agent: ref, run: ref.id, args: [], env: [], startTime: 0 });
    const taint = new Taint();
    let calls = 0;
    const { signal } = new AbortController();
    agents.push({
      taint,
      async call(tool: string, input: Input = {}): Promise<{ ok?: unknown; error?: { code: string } }> {
        const about = { agent: ref, run: ref.id, call: ++calls, callBytes: 10_000, signal, taint };
        const request = new TextEncoder().encode(JSON.stringify({ tool, input }));
        const { bytes } = await broker.handle({ ...about, hold: () => () => {} }, request);
        return JSON.parse(new TextDecoder().decode(bytes));
      },
      label: (more: string[]) => label({ taint, log: audit, ref }, more),
      async declassify(gone: string[]) {
        taint.drop(gone);
        await append({ type: "agent-declassify", agent: ref, labels: gone, by: "ann", reason: "because" });
      },
    });
  }
  return { log, agents, engine };
}

/** The log is consistent with what was decided: the writer enforced it, the verifier checks it, and Cedar agrees. */
async function hold(log: MemoryLog, decisions: number) {
  log.commit();
  const files = await log.bundle();
  expect((await verify(files)).problems).toEqual([]);
  const bundle = { paths: async () => files.keys(), read: async (path: string) => files.get(path) };
  const agreed = { decisions, agreed: decisions, differing: [], undecided: [] };
  expect(await redecide(bundle, { wasm: module })).toEqual(agreed);
}

test("attack: TOCTOU. A label that arrives at any point between a call and its intent is in the intent, or after it", async () => {
  const { log, agents, engine } = await start(1);
  const [agent] = agents;
  let turns = 0;
  let denied = 0;
  let kept = 0;
  // Until the label comes after the answer: then every point in between was tried.
  for (let over = false; !over; turns++) {
    let answered = false;
    const called = agent!.call("says").then(() => {
      answered = true;
    });
    for (let i = 0; i < turns; i++) await undefined;
    over = answered;
    await agent!.label(["a"]);
    await called;
    await agent!.declassify(["a"]);
    // The same with a label that decides whether the call is made at all.
    const sent = agent!.call("send");
    for (let i = 0; i < turns; i++) await undefined;
    await agent!.label(["secret"]);
    if ((await sent).error) denied++;
    expect(agent!.taint.list).toEqual(["secret"]);
    // And with a label that is removed in the meantime.
    const freed = agent!.call("send");
    for (let i = 0; i < turns; i++) await undefined;
    await agent!.declassify(["secret"]);
    if ((await freed).error) kept++;
  }
  expect(turns).toBeGreaterThan(5);
  expect(denied).toBeGreaterThan(3);
  expect(denied).toBeLessThan(turns);
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThan(turns);
  engine.close();
  await hold(log, 3 * turns);
});

const someLabels = fc.subarray(names, { minLength: 1 });
const step = fc.oneof(
  fc.record({ what: fc.constantFrom(...tools.map(({ name }) => name)), labels: fc.subarray(names) }),
  fc.record({ what: fc.constant("box"), labels: fc.subarray(names) }),
  fc.record({ what: fc.constant("label"), labels: someLabels }),
  fc.record({ what: fc.constant("declassify"), labels: someLabels }),
);

test("labels only shrink by declassifying, cover everything read, and are those of every decision", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ who: fc.nat(1), step, waits: fc.nat(30) }), { minLength: 1, maxLength: 25 }),
      async (steps) => {
        const { log, agents, engine } = await start(2);
        let decisions = 0;
        /** The labels that each agent must have at least. */
        const must = agents.map(() => new Set<string>());
        const box = new Set<string>();
        const busy: (Promise<unknown> | undefined)[] = [];
        for (const { who, step: it, waits } of steps) {
          const agent = agents[who]!;
          const before = agent.taint.list;
          if (it.what === "declassify") {
            const gone = it.labels.filter((label) => before.includes(label));
            if (gone.length === 0) continue;
            await busy[who];
            for (const label of gone) must[who]!.delete(label);
            if (gone.every((label) => agent.taint.list.includes(label))) await agent.declassify(gone);
          } else if (it.what === "label") {
            await agent.label(it.labels);
            for (const label of it.labels) must[who]!.add(label);
          } else {
            await busy[who]; // one call of an agent at a time
            decisions++;
            const held = [...agent.taint.list];
            busy[who] = agent.call(it.what, { says: it.labels }).then((answer) => {
              if (answer.error?.code === "denied") return;
              const { returns = [], keeps } = tools.find(({ name }) => name === it.what)!.labels ?? {};
              if (keeps) for (const label of held) box.add(label);
              const read = [...returns, ...(it.what === "fails" ? [] : it.labels), ...(keeps ? box : [])];
              expect(agent.taint.list).toEqual(expect.arrayContaining(read));
              for (const label of read) must[who]!.add(label);
            });
            // Give the other agent some turns while this one waits.
            for (let i = 0; i < waits; i++) await undefined;
          }
          if (it.what !== "declassify") expect(agent.taint.list).toEqual(expect.arrayContaining([...before]));
        }
        await Promise.all(busy);
        for (const [who, { taint }] of agents.entries()) {
          expect(taint.list).toEqual(expect.arrayContaining([...must[who]!]));
        }
        engine.close();
        await hold(log, decisions);
      },
    ),
    { numRuns: 40 },
  );
});

test("a tool is destructive and reaches the network unless its annotations say otherwise, as in MCP", () => {
  expect(groupsOf()).toEqual(["destructive", "network"]);
  expect(groupsOf({ readOnlyHint: true })).toEqual(["network"]);
  expect(groupsOf({ readOnlyHint: true, destructiveHint: true, openWorldHint: false })).toEqual([]);
  expect(groupsOf({ destructiveHint: false })).toEqual(["network"]);
  expect(groupsOf({ openWorldHint: false })).toEqual(["destructive"]);
  expect(groupsOf({ readOnlyHint: "yes" as never, openWorldHint: 0 as never })).toEqual(["destructive", "network"]);
});

test("the stock policies load without a tool that they could forbid, and without any tools", async () => {
  for (const some of [[], tools.slice(0, 1)]) {
    const described = some.map(describeToPolicy);
    const engine = createCedarEngine({ tools: described, constitution: stockPolicies, wasm: module });
    expect((await engine.load("permit (principal, action, resource);")).policies).toEqual(["policy0"]);
    engine.close();
  }
});

test.each<[string, object, string]>([
  ["an unknown field in labels", { gives: ["a"] }, 'labels has no field "gives"'],
  ["a string for a list of labels", { returns: "secret" }, "a list of at most 64"],
  ["a label that is not a word", { accepts: ["a b"] }, "a list of at most 64"],
  ["too many labels", { returns: Array.from({ length: 65 }, (_, i) => `l${i}`) }, "a list of at most 64"],
  ["a store without a name", { keeps: "" }, "names what the tool keeps"],
])("a tool with %s is refused", (_, labels, message) => {
  const wrong = () => tool("wrong", { labels });
  expect(wrong).toThrow(expect.objectContaining({ code: "invalid-tool", message: expect.stringContaining(message) }));
});
