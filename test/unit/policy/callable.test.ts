/** The tools that an agent could ever be allowed to call: under no policy is one missing that it could call. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import type { PolicyPack, PolicyRequest } from "../../../src/policy/engine.ts";
import { defineTool } from "../../../src/tool/definition.ts";
import { wasmBytes } from "./wasm.ts";

const module = await WebAssembly.compile(wasmBytes);
const tools = ["add", "send", "wipe"].map((name) =>
  defineTool({
    name,
    description: "A tool.",
    inputSchema: {
      type: "object",
      properties: { a: { type: "integer" }, to: { type: "string" } },
      required: ["a"],
    },
    execute: () => null,
  }),
);
const agent = { id: "a1", name: "ann", program: "00ff" };

async function callable(policy: string | PolicyPack, of = agent, constitution?: string): Promise<string[]> {
  const engine = createCedarEngine({ tools, wasm: module, ...(constitution !== undefined && { constitution }) });
  await engine.load(policy);
  return [...(await engine.callable(of))];
}

const all = ["add", "send", "wipe"];
const permitAll = "permit (principal, action, resource);";

test("without a policy, and after the engine was closed, no tool is callable", async () => {
  const engine = createCedarEngine({ tools, wasm: module });
  expect([...(await engine.callable(agent))]).toEqual([]);
  await engine.load(permitAll);
  engine.close();
  expect([...(await engine.callable(agent))]).toEqual([]);
});

describe("only the agent and the tool are known, so a tool is hidden if these alone decide", () => {
  test.each<[string, string, string[]]>([
    ["nothing permits", "", []],
    ["a permit for all", permitAll, all],
    ["a permit for one", `permit (principal, action == Action::"call:add", resource);`, ["add"]],
    [
      "a permit for two",
      `permit (principal, action in [Action::"call:add", Action::"call:wipe"], resource);`,
      ["add", "wipe"],
    ],
    ["a permit by resource", `permit (principal, action, resource == Tool::"send");`, ["send"]],
    ["a forbid of one", `${permitAll} forbid (principal, action == Action::"call:wipe", resource);`, ["add", "send"]],
    ["a forbid of all", `${permitAll} forbid (principal, action, resource);`, []],
    ["a permit for another agent", `permit (principal, action, resource) when { principal.name == "bob" };`, []],
    ["a permit for this agent", `permit (principal, action, resource) when { principal.name == "ann" };`, all],
    [
      "a forbid for this program",
      `${permitAll} forbid (principal, action, resource) when { principal.program == "00ff" };`,
      [],
    ],
    ["a condition on the input", `permit (principal, action, resource) when { context.input.a < 3 };`, all],
    ["a forbid on the input", `${permitAll} forbid (principal, action, resource) when { context.input.a < 3 };`, all],
    [
      "an optional field",
      `permit (principal, action, resource) when { context.input has to && context.input.to == "x" };`,
      all,
    ],
    ["the clock", `permit (principal, action, resource) when { context.vak.now < datetime("2020-01-01") };`, all],
    [
      "an approval",
      `permit (principal, action == Action::"call:send", resource) when { context.vak.approved };`,
      ["send"],
    ],
    ["a permit in shadow", `@mode("shadow") permit (principal, action, resource);`, []],
    ["a forbid in shadow", `${permitAll} @mode("shadow") forbid (principal, action, resource);`, all],
    [
      "a permit for another agent, with a condition on the input",
      `permit (principal, action, resource) when { principal.name == "bob" && context.input.a < 3 };`,
      [],
    ],
    ["a permit that always fails", `permit (principal, action, resource) when { 9223372036854775807 + 1 > 0 };`, []],
    [
      "a forbid that always fails, which denies",
      `${permitAll} forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };`,
      [],
    ],
  ])("%s", async (_, policy, expected) => {
    expect(await callable(policy)).toEqual(expected);
  });

  test("the constitution counts", async () => {
    const never = `forbid (principal, action == Action::"call:wipe", resource);`;
    expect(await callable(permitAll, agent, never)).toEqual(["add", "send"]);
  });

  test("the entities of a policy pack count", async () => {
    const pack = {
      schema: "entity Group;",
      entities: [{ uid: { type: "Tool", id: "send" }, parents: [{ type: "Group", id: "money" }] }],
      policies: `permit (principal, action, resource in Group::"money") when { context.input.a > 0 };`,
    };
    expect(await callable(pack)).toEqual(["send"]);
  });

  test("the permits of a lease count", async () => {
    const engine = createCedarEngine({ tools, wasm: module });
    await engine.load(
      `permit (principal, action == Action::"call:add", resource); forbid (principal, action == Action::"call:wipe", resource);`,
    );
    const lease = await engine.lease("permit (principal, action, resource) when { context.input.a < 3 };");
    expect([...(await lease.callable(agent))]).toEqual(["add", "send"]);
    expect([...(await engine.callable(agent))]).toEqual(["add"]);
  });
});

test("a new policy counts at once, and no agent gets the result of another", async () => {
  const engine = createCedarEngine({ tools, wasm: module });
  await engine.load(`permit (principal, action, resource) when { principal.name == "ann" };`);
  const [first, other, again] = await Promise.all(
    [agent, { ...agent, name: "bob" }, agent].map((of) => engine.callable(of)),
  );
  expect([[...first!], [...other!], [...again!]]).toEqual([all, [], all]);
  await engine.load("");
  expect([...(await engine.callable(agent))]).toEqual([]);
});

function requestOf(tool: string, input: PolicyRequest["input"], vak: Partial<PolicyRequest["vak"]>): PolicyRequest {
  return { agent, tool, input, vak: { callDigest: "00", now: 0, calls: 0, approved: false, labels: [], ...vak } };
}

// Conditions of every kind, which hold, do not hold or fail, depending on agent, tool and call.
const atom = fc.constantFrom(
  "true",
  "false",
  'principal.name == "ann"',
  'principal.name == "bob"',
  'principal.program like "00*"',
  'resource == Tool::"add"',
  'action == Action::"call:send"',
  'action in Action::"call"',
  "principal is Agent",
  "context.input.a < 3",
  "context.input.a == 7",
  "context.input.a + 9223372036854775807 > 0",
  "9223372036854775807 + 1 > 0",
  "context.input has to",
  'context.input has to && context.input.to == "x"',
  '["x", "y"].contains(if context.input has to then context.input.to else "z")',
  "context.vak.approved",
  "context.vak.calls > 2",
  'context.vak.now < datetime("2000-01-01")',
);
const condition = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    atom,
    tie("any").map((of) => `!(${of})`),
    fc.tuple(tie("any"), fc.constantFrom("&&", "||"), tie("any")).map(([a, op, b]) => `(${a}) ${op} (${b})`),
    fc.tuple(tie("any"), tie("any"), tie("any")).map(([a, b, c]) => `if (${a}) then (${b}) else (${c})`),
  ),
})).any;
const scope = fc.constantFrom(
  "action",
  'action == Action::"call:add"',
  'action in [Action::"call:add", Action::"call:send"]',
  'action in Action::"call"',
);
const policies = fc.array(
  fc.tuple(fc.constantFrom("permit", "permit", "forbid"), scope, condition).filter(
    // Policies that do not load are the subject of another test.
    ([effect, , when]) => effect === "permit" || !when.includes("approved"),
  ),
  { minLength: 1, maxLength: 4 },
);
const call = fc.record({
  a: fc.constantFrom(0, 3, 7, 9007199254740991),
  to: fc.constantFrom(undefined, "x", "q"),
  calls: fc.constantFrom(0, 5),
  now: fc.constantFrom(0, Date.UTC(2026, 0, 1)),
});

test("no policy hides a tool that could be called, with or without an approval", async () => {
  await fc.assert(
    fc.asyncProperty(policies, fc.array(call, { minLength: 8, maxLength: 8 }), async (parts, tried) => {
      const text = parts
        .map(([effect, scope, when]) => `${effect} (principal, ${scope}, resource) when { ${when} };`)
        .join("\n");
      const engine = createCedarEngine({ tools, wasm: module });
      // Strict validation refuses some of these texts.
      const refused = await engine.load(text).then(
        () => false,
        () => true,
      );
      fc.pre(!refused);
      const shown = await engine.callable(agent);
      for (const { name } of tools) {
        for (const { a, to, ...vak } of tried) {
          const input = { a, ...(to !== undefined && { to }) };
          const { decision } = await engine.decide(requestOf(name, input, vak));
          if (decision !== "deny") expect(shown.has(name), `${name} ${JSON.stringify(input)}\n${text}`).toBe(true);
        }
      }
    }),
    { numRuns: 50 },
  );
});
