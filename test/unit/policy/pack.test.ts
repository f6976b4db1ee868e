/** Policy packs: their form, entities and tests. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { VakError } from "../../../src/errors.ts";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import type { PolicyEngine, PolicyPack, PolicyRequest, PolicySource } from "../../../src/policy/engine.ts";
import { MAX_ENTITIES, MAX_PACK_BYTES, MAX_TESTS, readText } from "../../../src/policy/pack.ts";
import { wasmBytes } from "./wasm.ts";

const module = await WebAssembly.compile(wasmBytes);

const tools = ["send", "read"].map((name) => ({
  name,
  inputSchema: { type: "object", properties: { to: { type: "string" }, cents: { type: "integer" } } },
}));

const ALL = "permit (principal, action, resource);";

function engineOf(): PolicyEngine {
  return createCedarEngine({ tools, wasm: module });
}

async function loaded(source: PolicySource): Promise<PolicyEngine> {
  const engine = engineOf();
  await engine.load(source);
  return engine;
}

function request(tool: string, input: Record<string, unknown> = {}): PolicyRequest {
  const vak = { callDigest: "abcd", now: Date.UTC(2026, 0), calls: 3, approved: false, labels: [] };
  return { agent: { id: "a1", name: "test", program: "00" }, tool, input, vak };
}

const refusal = (source: unknown): Promise<VakError> =>
  engineOf()
    .load(source as PolicySource)
    .then(
      () => expect.fail("it was not refused"),
      (error) => error,
    );

describe("a policy pack's tests", () => {
  const policies = `
    @id("small") permit (principal, action == Action::"call:send", resource)
    when { context.input has cents && context.input.cents < 100 };
    @id("not-at-night") forbid (principal, action, resource) when { context.vak.now.toTime() < duration("6h") };
    @id("ten-calls") forbid (principal, action, resource) when { context.vak.calls >= 10 };
    @id("reader") permit (principal, action == Action::"call:read", resource) when { principal.name == "reader" };
  `;
  const night = Date.UTC(2026, 0, 1, 3);

  test.each<NonNullable<PolicyPack["tests"]>[number]>([
    { tool: "send", input: { cents: 1 }, expect: "allow", by: ["small"] },
    { tool: "send", input: { cents: 100 }, expect: "deny", by: [] },
    {
      tool: "send",
      input: { cents: 1 },
      vak: { now: night, calls: 10 },
      expect: "deny",
      by: ["ten-calls", "not-at-night"],
    },
    { tool: "read", agent: { name: "reader" }, expect: "allow" },
    { tool: "read", expect: "deny" },
  ])("one that passes: %j", async (test) => {
    const engine = await loaded({ policies, tests: [test] });
    expect(engine.loaded?.policies).toEqual(["small", "not-at-night", "ten-calls", "reader"]);
  });

  test.each<[NonNullable<PolicyPack["tests"]>[number], string]>([
    [
      { tool: "send", input: { cents: 100 }, expect: "allow" },
      "test 1 expects allow, but the decision is: deny, no-permit",
    ],
    [
      { name: "x", tool: "send", input: { cents: 1 }, expect: "deny" },
      'test "x" expects deny, but the decision is: allow, small',
    ],
    [
      { tool: "send", input: { cents: 1 }, expect: "allow", by: ["reader"] },
      "expects it by reader, but the decision is: allow, small",
    ],
    [{ tool: "nope", expect: "deny" }, 'could not be put to the policy: there is no tool "nope"'],
    [{ tool: "send", input: { cents: "1" }, expect: "deny" }, "could not be put to the policy: context.input.cents"],
    [{ tool: "send", vak: { calls: 0.5 }, expect: "deny" }, "could not be put to the policy: context.vak.calls"],
  ])("one that fails, which refuses the policy: %j", async (test, message) => {
    const engine = await loaded(ALL);
    const before = engine.loaded;
    await expect(engine.load({ policies, tests: [test] })).rejects.toMatchObject({
      code: "invalid-policy",
      message: expect.stringContaining(message),
    });
    // The old policy stays, and decides.
    expect(engine.loaded).toBe(before);
    expect((await engine.decide(request("read"))).decision).toBe("allow");
  });

  test("all failing tests are counted, and ten are named", async () => {
    const tests = Array.from({ length: 25 }, () => ({ tool: "read", expect: "allow" as const }));
    const { message } = await refusal({ policies, tests });
    expect(message).toContain("25 of its tests failed:");
    expect(message.split("\n")).toHaveLength(12);
    expect(message).toContain("and 15 more");
  });

  test("changing a pack after it was given has no effect", async () => {
    const pack = { policies: ALL, tests: [] as unknown[] };
    const engine = engineOf();
    const loading = engine.load(pack as PolicyPack);
    pack.policies = "forbid (principal, action, resource);";
    pack.tests.push({ tool: "read", expect: "deny" });
    const { text } = await loading;
    expect(JSON.parse(text)).toEqual({ policies: ALL, tests: [] });
    expect((await engine.decide(request("read"))).decision).toBe("allow");
  });
});

describe("types and entities of a policy pack", () => {
  const schema = `entity Group in [Group] { limit?: Long };`;
  const entities = [
    { uid: { type: "Tool", id: "send" }, parents: [{ type: "Group", id: "money" }] },
    { uid: { type: "Group", id: "money" }, parents: [{ type: "Group", id: "risky" }] },
    { uid: { type: "Group", id: "limits" }, attrs: { limit: 50 } },
    { uid: { type: "Group", id: "risky" } },
  ];

  test("a tool belongs to a group, through another", async () => {
    const policies = `${ALL} @id("risky") forbid (principal, action, resource in Group::"risky");`;
    const engine = await loaded({ policies, schema, entities });
    expect(await engine.decide(request("send"))).toMatchObject({ decision: "deny", policies: ["risky"] });
    expect((await engine.decide(request("read"))).decision).toBe("allow");
  });

  test("an entity that only a policy names is available", async () => {
    const policies = `permit (principal, action == Action::"call:send", resource) when
      { context.input has cents && Group::"limits" has limit && context.input.cents < Group::"limits".limit };`;
    const engine = await loaded({ policies, schema, entities });
    expect((await engine.decide(request("send", { cents: 49 }))).decision).toBe("allow");
    expect((await engine.decide(request("send", { cents: 50 }))).decision).toBe("deny");
  });

  test("a tool may have attributes that the pack declares", async () => {
    const engine = await loaded({
      policies: "permit (principal, action, resource) when { resource.risk < 3 };",
      schema: {
        "": {
          entityTypes: { Tool: { shape: { type: "Record", attributes: { risk: { type: "Long" } } } } },
          actions: {},
        },
      },
      entities: [
        { uid: { type: "Tool", id: "send" }, attrs: { risk: 5 } },
        { uid: { type: "Tool", id: "read" }, attrs: { risk: 1 } },
      ],
    });
    expect((await engine.decide(request("send"))).decision).toBe("deny");
    expect((await engine.decide(request("read"))).decision).toBe("allow");
  });

  test.each<[string, unknown, RegExp]>([
    ["an entity of an undeclared type", { policies: ALL, entities: [{ uid: { type: "Group", id: "x" } }] }, /Group/],
    ["an agent", { policies: ALL, entities: [{ uid: { type: "Agent", id: "x" } }] }, /a pack cannot define/],
    ["an action", { policies: ALL, entities: [{ uid: { type: "Action", id: "call:send" } }] }, /a pack cannot define/],
    [
      "a tool that does not exist",
      { policies: ALL, entities: [{ uid: { type: "Tool", id: "snd" } }] },
      /"snd", which does not exist/,
    ],
    ["an entity twice", { policies: ALL, schema, entities: [entities[1], entities[1]] }, /twice/],
    [
      "parents in a circle",
      { policies: ALL, schema, entities: [{ ...entities[3], parents: [entities[3]!.uid] }] },
      /./,
    ],
    ["an entity without uid", { policies: ALL, entities: [{}] }, /no uid/],
    ["an entity that is null", { policies: ALL, entities: [null] }, /no uid/],
    [
      "an attribute that is not declared",
      { policies: ALL, schema, entities: [{ ...entities[3], attrs: { x: 1 } }] },
      /x/,
    ],
    ["a tool without a required attribute", { policies: ALL, schema: "entity Tool { risk: Long };" }, /risk/],
    ["a schema that does not parse", { policies: ALL, schema: "entity" }, /schema/],
    ["a schema with actions", { policies: ALL, schema: `action "call:send";` }, /actions come from the tools/],
    ["a schema with an Agent", { policies: ALL, schema: "entity Agent;" }, /kernel's own/],
    ["a schema in a namespace with actions", { policies: ALL, schema: `namespace X { action "y"; }` }, /actions come/],
  ])("%s is refused", async (_, source, message) => {
    const error = await refusal(source);
    expect(error).toMatchObject({ code: "invalid-policy", message: expect.stringMatching(message) });
  });
});

describe("anything that is not a policy pack is refused", () => {
  const circular: { policies: string; tests?: unknown } = { policies: ALL };
  circular.tests = circular;
  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["a number", 1],
    ["a list", [ALL]],
    ["an object without policies", {}],
    ["policies that are a list", { policies: [ALL] }],
    ["another field", { policies: ALL, test: [] }],
    ["a circle", circular],
    ["a class", Object.assign(new Map(), { policies: ALL })],
    ["entities that are an object", { policies: ALL, entities: {} }],
    ["tests that are an object", { policies: ALL, tests: {} }],
    ["a test that is null", { policies: ALL, tests: [null] }],
    ["a test without a tool", { policies: ALL, tests: [{ expect: "deny" }] }],
    ["a test that expects nothing", { policies: ALL, tests: [{ tool: "read" }] }],
    ["a test that expects maybe", { policies: ALL, tests: [{ tool: "read", expect: "maybe" }] }],
    ["a test with another field", { policies: ALL, tests: [{ tool: "read", expect: "allow", inputs: {} }] }],
    ["a test with a list as input", { policies: ALL, tests: [{ tool: "read", expect: "allow", input: [] }] }],
    ["a test by a number", { policies: ALL, tests: [{ tool: "read", expect: "allow", by: [1] }] }],
    [
      "a test with a name that is not a string",
      { policies: ALL, tests: [{ tool: "read", expect: "allow", name: {} }] },
    ],
    ["a schema that is a number", { policies: ALL, schema: 1 }],
    ["too many entities", { policies: ALL, entities: Array(MAX_ENTITIES + 1).fill({}) }],
    ["too many tests", { policies: ALL, tests: Array(MAX_TESTS + 1).fill({ tool: "read", expect: "allow" }) }],
    ["too many bytes", { policies: ALL, schema: "/".repeat(MAX_PACK_BYTES) }],
  ])("%s", async (_, source) => {
    expect(await refusal(source)).toMatchObject({ code: "invalid-policy" });
  });

  test("any JSON is loaded, or refused with invalid-policy", async () => {
    const engine = await loaded(ALL);
    const part = fc.jsonValue({ maxDepth: 3 });
    const pack = fc.record(
      {
        policies: fc.oneof(fc.constant(ALL), part),
        schema: part,
        entities: fc.oneof(part, fc.array(part)),
        tests: fc.oneof(part, fc.array(part)),
      },
      { requiredKeys: ["policies"] },
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(pack, part), async (source) => {
        const { code } = await engine.load(source as PolicySource).then(
          () => ({ code: "loaded" }),
          (error: VakError) => error,
        );
        expect(["loaded", "invalid-policy"]).toContain(code);
        if (code === "loaded") await engine.load(ALL);
        expect((await engine.decide(request("read"))).decision).toBe("allow");
      }),
      { numRuns: 200 },
    );
  });
});

test("the text that the log keeps reads back as the same policy", async () => {
  const pack: PolicyPack = { policies: ALL, tests: [{ tool: "read", expect: "allow" }] };
  for (const source of [ALL, pack]) {
    const { text, digest } = (await loaded(source)).loaded!;
    expect(readText(text).digest).toBe(digest);
    expect(readText(text).text).toBe(text);
  }
});

test("the base contains the tools as policies see them", async () => {
  const { base } = (await loaded(ALL)).loaded!;
  expect(JSON.parse(base)).toEqual({ tools: tools.map(({ name, inputSchema }) => ({ name, inputSchema })) });
});

describe("shadow", () => {
  const base = `@id("all") permit (principal, action, resource);`;
  const shadowed = `${base} @id("no-sends") @mode("shadow") forbid (principal, action == Action::"call:send", resource);`;

  test("a policy in shadow is evaluated, and decides nothing", async () => {
    const engine = await loaded(shadowed);
    expect(engine.loaded?.policies).toEqual(["all", "no-sends"]);
    expect(await engine.decide(request("send"))).toMatchObject({
      decision: "allow",
      policies: ["all"],
      shadow: { decision: "deny", reason: "forbidden", policies: ["no-sends"], errors: [] },
    });
    expect(await engine.decide(request("read"))).toMatchObject({
      decision: "allow",
      shadow: { decision: "allow", policies: ["all"] },
    });
  });

  test("a permit in shadow permits nothing", async () => {
    const engine = await loaded(`@id("all") @mode("shadow") permit (principal, action, resource);`);
    expect(await engine.decide(request("send"))).toMatchObject({
      decision: "deny",
      reason: "no-permit",
      shadow: { decision: "allow", policies: ["all"] },
    });
  });

  test("an error in shadow is reported, and decides nothing", async () => {
    const engine = await loaded(`${base} @id("x") @mode("shadow")
      forbid (principal, action == Action::"call:send", resource)
      when { context.input has cents && context.input.cents * 9223372036854775807 > 1 };`);
    const decision = await engine.decide(request("send", { cents: 2 }));
    expect(decision).toMatchObject({ decision: "allow", errors: [] });
    expect(decision.shadow).toMatchObject({ decision: "deny", reason: "policy-error", policies: ["x"] });
  });

  test("without policies in shadow, a decision has no shadow", async () => {
    expect(await (await loaded(base)).decide(request("send"))).not.toHaveProperty("shadow");
  });

  test.each(["", "Shadow", "enforce", "ask"])("@mode(%j) is refused", async (mode) => {
    expect((await refusal(`@mode("${mode}") ${ALL}`)).message).toContain("there is no @mode");
  });

  test("no policy in shadow changes a decision", async () => {
    const policy = fc.record({
      effect: fc.constantFrom("permit", "forbid"),
      shadow: fc.boolean(),
      tool: fc.constantFrom("send", "read"),
      below: fc.integer({ min: 0, max: 3 }),
    });
    const text = (list: { effect: string; shadow: boolean; tool: string; below: number }[]) =>
      list
        .map(
          ({ effect, shadow, tool, below }, i) => `@id("p${i}") ${shadow ? '@mode("shadow")' : ""}
            ${effect} (principal, action == Action::"call:${tool}", resource)
            when { context.input has cents && context.input.cents < ${below} };`,
        )
        .join("\n");
    await fc.assert(
      fc.asyncProperty(fc.array(policy, { maxLength: 6 }), fc.integer({ min: 0, max: 3 }), async (list, cents) => {
        const [all, enforced, tried] = await Promise.all([
          loaded(text(list)),
          // The same ids, in the same places.
          loaded(text(list.map((it) => (it.shadow ? { ...it, shadow: false, below: -1 } : it)))),
          loaded(text(list.map((it) => ({ ...it, shadow: false })))),
        ]);
        for (const tool of ["send", "read"]) {
          const decision = await all.decide(request(tool, { cents }));
          const { decision: plain, policies } = await enforced.decide(request(tool, { cents }));
          expect(decision).toMatchObject({ decision: plain, policies });
          if (!list.some(({ shadow }) => shadow)) continue;
          const there = await tried.decide(request(tool, { cents }));
          expect(decision.shadow).toMatchObject({ decision: there.decision, policies: there.policies });
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe("annotations", () => {
  const text = `
    @id("cheap") @reason("Small sums are nobody's business.") permit (principal, action, resource)
    unless { context.input has cents && context.input.cents >= 100 };
    @id("quiet") @advice("Ask for less than 100.") @level
    forbid (principal, action == Action::"call:send", resource)
    when { context.input has cents && context.input.cents >= 100 };
    @id("__proto__") @reason("x") forbid (principal, action == Action::"call:read", resource);
  `;

  test("a decision has the annotations of the policies that determined it", async () => {
    const engine = await loaded(text);
    expect((await engine.decide(request("send"))).annotations).toEqual({
      cheap: { reason: "Small sums are nobody's business." },
    });
    expect((await engine.decide(request("send", { cents: 100 }))).annotations).toEqual({
      quiet: { advice: "Ask for less than 100.", level: "" },
    });
    const odd = (await engine.decide(request("read"))).annotations!;
    expect(Object.entries(odd)).toEqual([["__proto__", { reason: "x" }]]);
  });

  test("explain returns the whole policies", async () => {
    const engine = await loaded(text);
    const { decision, because } = await engine.explain(request("send", { cents: 100 }));
    expect(decision).toBe("deny");
    expect(because).toEqual([
      {
        id: "quiet",
        annotations: { advice: "Ask for less than 100.", level: "" },
        text: expect.stringContaining("cents >= 100"),
      },
    ]);
    expect((await engineOf().explain(request("send"))).because).toEqual([]);
  });
});
