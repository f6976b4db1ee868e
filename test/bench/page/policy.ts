/** The page of the policy benchmark: decisions by the engine, and by Cedar alone. */
import { createCedar } from "virtual:cedar-glue";
import type { Context } from "@cedar-policy/cedar-wasm/web";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import type { PolicyRequest } from "../../../src/policy/engine.ts";

const tools = [
  {
    name: "transfer",
    inputSchema: {
      type: "object",
      properties: { to: { type: "string" }, cents: { type: "integer" }, note: { type: "string" } },
      required: ["to", "cents"],
    },
  },
];

const request: PolicyRequest = {
  agent: { id: "2b1c3d", name: "bookkeeper", program: "ab".repeat(32) },
  tool: "transfer",
  input: { to: "rent", cents: 950, note: "for May" },
  vak: { callDigest: "cd".repeat(32), now: Date.UTC(2026, 4, 1, 9), calls: 3, approved: false, labels: [] },
};

/** The same request in Cedar's JSON. */
const raw = {
  preparsedSchemaName: "raw",
  preparsedPolicySetId: "raw",
  validateRequest: true,
  principal: { type: "Agent", id: request.agent.id },
  action: { type: "Action", id: "call:transfer" },
  resource: { type: "Tool", id: "transfer" },
  context: {
    input: request.input,
    vak: { ...request.vak, now: { __extn: { fn: "datetime", arg: new Date(request.vak.now).toISOString() } } },
  } as unknown as Context,
  entities: [
    {
      uid: { type: "Agent", id: request.agent.id },
      attrs: { name: request.agent.name, program: request.agent.program },
      parents: [],
    },
  ],
};

const schema = `
  entity Agent { name: String, program: String };
  entity Tool;
  action "call";
  action "call:transfer" in ["call"] appliesTo {
    principal: Agent, resource: Tool,
    context: {
      input: { to: String, cents: Long, note?: String },
      vak: { callDigest: String, now: datetime, calls: Long, approved: Bool, labels: Set<String> },
    },
  };
`;

/** One permit that matches, and permits and forbids of the usual kinds that do not. */
const policies = (count: number): string[] => [
  `permit (principal, action == Action::"call:transfer", resource) when { context.input.cents < 1000 };`,
  ...Array.from({ length: count - 1 }, (_, i) =>
    i % 2 === 0
      ? `permit (principal, action == Action::"call:transfer", resource) when { context.input.to == "account-${i}" };`
      : `forbid (principal, action in Action::"call", resource) when { context.vak.calls >= ${1000 + i} };`,
  ),
];

/** µs per decision by the engine and by Cedar's `statefulIsAuthorized` alone, in turns of `batch` decisions each. */
export async function decide(count: number, turns: number, batch: number): Promise<[ours: number, bare: number][]> {
  const module = await WebAssembly.compileStreaming(fetch("/dist/cedar.wasm"));
  const engine = createCedarEngine({ tools, wasm: module });
  const texts = policies(count);
  await engine.load(texts.join("\n"));
  const cedar = await createCedar(module);
  const staticPolicies = Object.fromEntries(texts.map((text, i) => [`policy${i}`, text]));
  cedar.preparseSchema(raw.preparsedSchemaName, schema);
  cedar.preparsePolicySet(raw.preparsedPolicySetId, { staticPolicies });

  const pairs: [number, number][] = [];
  for (let turn = -1; turn < turns; turn++) {
    const start = performance.now();
    for (let i = 0; i < batch; i++) {
      if ((await engine.decide(request)).decision !== "allow") throw new Error("the engine does not allow the request");
    }
    const middle = performance.now();
    for (let i = 0; i < batch; i++) {
      const answer = cedar.statefulIsAuthorized(raw);
      if (answer.type !== "success" || answer.response.decision !== "allow")
        throw new Error("Cedar does not allow the request");
    }
    const end = performance.now();
    if (turn >= 0) pairs.push([((middle - start) * 1000) / batch, ((end - middle) * 1000) / batch]);
  }
  return pairs;
}
