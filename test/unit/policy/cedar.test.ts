/** Policies as Cedar decides them: what they can refer to, and what is refused. */
import { createCedar } from "virtual:cedar-glue";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { VakError } from "../../../src/errors.ts";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import { MAX_POLICY_BYTES, MAX_POLICY_DEPTH } from "../../../src/policy/cedar/read.ts";
import type { PolicyEngine, PolicyRequest } from "../../../src/policy/engine.ts";
import { defineTool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";
import { capMemory } from "./capped.ts";
import { wasmBytes } from "./wasm.ts";

const module = await WebAssembly.compile(wasmBytes);

const send = defineTool({
  name: "send",
  description: "Sends money.",
  inputSchema: {
    type: "object",
    properties: {
      to: { type: "string" },
      cents: { type: "integer" },
      price: { type: "number", multipleOf: 0.01 },
      ratio: { type: "number" },
      urgent: { type: "boolean" },
      tags: { type: "array", items: { type: "string" } },
      mode: { enum: ["fast", "slow"] },
      address: { $ref: "#/$defs/address" },
      either: { type: ["string", "integer"] },
    },
    required: ["to", "cents"],
    $defs: { address: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
  },
  execute: () => null,
});
const read = defineTool({
  name: "read",
  description: "Reads.",
  inputSchema: { type: "object" },
  execute: () => null,
});

function engineOf(tools = [send, read]): PolicyEngine {
  return createCedarEngine({ tools, wasm: module });
}

async function loaded(text: string, tools = [send, read]): Promise<PolicyEngine> {
  const engine = engineOf(tools);
  await engine.load(text);
  return engine;
}

function request(
  input: Record<string, unknown> = { to: "ann", cents: 5 },
  more: Partial<PolicyRequest> = {},
): PolicyRequest {
  return {
    agent: { id: "a1", name: "summariser", program: "00ff" },
    tool: "send",
    input,
    vak: { callDigest: "abcd", now: Date.UTC(2026, 0, 2, 9), calls: 3, approved: false, labels: [] },
    ...more,
  };
}

async function refusal(promise: Promise<unknown>): Promise<VakError> {
  return promise.then(
    () => {
      throw new Error("it was not refused");
    },
    (error: VakError) => error,
  );
}

const ALL = "permit (principal, action, resource);";

describe("what a policy can refer to", () => {
  test.each([
    [`principal == Agent::"a1"`, `true`],
    [`principal`, `principal.name == "summariser" && principal.program == "00ff"`],
    [`principal`, `context.input.to == "ann" && context.input.cents < 10`],
    [`principal`, `context.input has price && context.input.price.lessThan(decimal("10.0"))`],
    [`principal`, `context.input has urgent && context.input.urgent`],
    [`principal`, `context.input has tags && context.input.tags.containsAll(["a", "b"])`],
    [`principal`, `context.input has mode && context.input.mode == "fast"`],
    [`principal`, `context.input has address && context.input.address.city like "Par*"`],
    [`principal`, `context.vak.callDigest == "abcd" && context.vak.calls < 4`],
    [`principal`, `context.vak.now < datetime("2027-01-01") && context.vak.now.toTime() >= duration("9h")`],
  ])("permit (%s, …) when { %s }", async (principal, condition) => {
    const text = `permit (${principal}, action == Action::"call:send", resource == Tool::"send") when { ${condition} };`;
    const engine = await loaded(text);
    const input = {
      ...{ to: "ann", cents: 5, price: 9.99, ratio: 0.123456, urgent: true, tags: ["b", "a", "a"], mode: "fast" },
      ...{ address: { city: "Paris" }, either: 1 },
    };
    expect(await engine.decide(request(input))).toEqual({
      decision: "allow",
      policies: ["policy0"],
      errors: [],
      policyDigest: engine.loaded?.digest,
    });
    const other = request({ to: "bob", cents: 50 }, { agent: { id: "a2", name: "x", program: "" } });
    other.vak = { callDigest: "", now: Date.UTC(2028, 0), calls: 9, approved: false, labels: [] };
    expect(await engine.decide(other)).toMatchObject({ decision: "deny", reason: "no-permit", policies: [] });
  });

  test("every tool's action is in the group call", async () => {
    const engine = await loaded(`permit (principal, action in Action::"call", resource);`);
    expect(await engine.decide(request())).toMatchObject({ decision: "allow" });
    expect(await engine.decide(request({}, { tool: "read" }))).toMatchObject({ decision: "allow" });
  });

  test("a call of an unknown tool is denied", async () => {
    const engine = await loaded(ALL);
    expect(await engine.decide(request({}, { tool: "nope" }))).toMatchObject({
      decision: "deny",
      reason: "policy-unavailable",
    });
  });

  test("a decision names the permits or forbids that determined it", async () => {
    const engine = await loaded(`
      @id("everything") permit (principal, action, resource);
      permit (principal, action == Action::"call:send", resource);
      @id("not to bob") forbid (principal, action == Action::"call:send", resource) when { context.input.to == "bob" };
    `);
    expect(engine.loaded?.policies).toEqual(["everything", "policy1", "not to bob"]);
    const allowed = await engine.decide(request());
    expect(allowed.policies.sort()).toEqual(["everything", "policy1"]);
    expect(await engine.decide(request({ to: "bob", cents: 1 }))).toMatchObject({
      decision: "deny",
      reason: "forbidden",
      policies: ["not to bob"],
    });
  });

  test("ids stay with their policies beyond ten, in any order that Cedar lists them in", async () => {
    const policies = Array.from(
      { length: 12 },
      (_, n) => `permit (principal, action == Action::"call:send", resource) when { context.input.cents == ${n} };`,
    );
    const engine = await loaded(policies.join("\n"));
    for (let n = 0; n < 12; n++) {
      expect((await engine.decide(request({ to: "", cents: n }))).policies).toEqual([`policy${n}`]);
    }
  });

  test("without tools, a policy loads and everything is denied", async () => {
    const engine = await loaded(ALL, []);
    expect((await engine.decide(request())).decision).toBe("deny");
  });

  test("two tools with the same name are refused", () => {
    expect(() => engineOf([send, send])).toThrow(expect.objectContaining({ code: "invalid-tool" }));
  });

  test.each(["", " ", "if", "a.b", "__cedar", 'quo"te', "é€😀", "constructor", "toString", "1", "\u0000", "in", "Set"])(
    "a field may be called %j",
    async (name) => {
      const tool = defineTool({
        name: "t",
        description: "t",
        inputSchema: { type: "object", properties: { [name]: { type: "string" }, z: { type: "string" } } },
        execute: () => null,
      });
      const engine = await loaded(ALL, [tool]);
      const parsed = await parseInput(tool, { [name]: "x" });
      if (!parsed.ok) throw new Error(parsed.message);
      expect((await engine.decide(request(parsed.input, { tool: "t" }))).decision).toBe("allow");
      // An absent field is absent: nothing comes from a prototype.
      expect((await engine.decide(request({}, { tool: "t" }))).decision).toBe("allow");
    },
  );
});

describe("everything is denied", () => {
  test("before a policy is loaded", async () => {
    const engine = engineOf();
    expect(engine.loaded).toBeUndefined();
    expect(await engine.decide(request())).toEqual({
      decision: "deny",
      policies: [],
      reason: "policy-unavailable",
      errors: ["no policy is loaded"],
      policyDigest: "",
    });
  });

  test("while the first policy loads, and after it was refused", async () => {
    const engine = engineOf();
    const load = engine.load("permit (principal, action, resource)");
    expect((await engine.decide(request())).decision).toBe("deny");
    expect((await refusal(load)).code).toBe("invalid-policy");
    expect((await engine.decide(request())).reason).toBe("policy-unavailable");
  });

  test("under an empty policy", async () => {
    const engine = await loaded("// nothing yet");
    expect(await engine.decide(request())).toMatchObject({ decision: "deny", reason: "no-permit" });
  });

  test("after the engine was closed", async () => {
    const engine = await loaded(ALL);
    engine.close();
    expect(engine.loaded).toBeUndefined();
    expect(await engine.decide(request())).toMatchObject({ decision: "deny", reason: "policy-unavailable" });
    expect((await refusal(engine.load(ALL))).code).toBe("closed");
  });

  test("after the engine was closed during a load", async () => {
    const engine = engineOf();
    const load = engine.load(ALL);
    engine.close();
    expect((await refusal(load)).code).toBe("closed");
    expect((await engine.decide(request())).decision).toBe("deny");
  });
});

describe("loading", () => {
  test("returns the policy in force", async () => {
    const engine = engineOf();
    const policy = await engine.load(ALL);
    expect(policy).toEqual({
      digest: "70dc852b2e8a27d8bbc7dea7c75fb0f79f634420db4b4ccc0c1c8b6e8a432baa",
      text: ALL,
      policies: ["policy0"],
      base: expect.stringContaining('"name":"send"'),
    });
    expect(engine.loaded).toBe(policy);
  });

  test("commit is awaited before the policy is in force; if it fails, the old policy stays", async () => {
    const engine = await loaded("// none");
    const before = engine.loaded;
    const failed = engine.load(ALL, async (policy) => {
      expect(policy.text).toBe(ALL);
      expect(engine.loaded).toBe(before);
      expect((await engine.decide(request())).decision).toBe("deny");
      throw new Error("the log is full");
    });
    await expect(failed).rejects.toThrow("the log is full");
    expect(engine.loaded).toBe(before);
    const never = () => {
      throw new Error("a refused policy was committed");
    };
    expect((await refusal(engine.load("permit", never))).code).toBe("invalid-policy");
    await engine.load(ALL, async () => {});
    expect((await engine.decide(request())).decision).toBe("allow");
  });

  test("a bad policy leaves the old one in force", async () => {
    const engine = await loaded(ALL);
    const before = engine.loaded;
    for (const bad of ["permit", "permit (principal, action, resource) when { context.x };", `${"(".repeat(500)}`]) {
      expect((await refusal(engine.load(bad))).code).toBe("invalid-policy");
      expect(engine.loaded).toBe(before);
      expect((await engine.decide(request())).decision).toBe("allow");
    }
  });

  test("the policy of the last load is in force, and every decision is made by one whole policy", async () => {
    const engine = await loaded(ALL);
    const allowing = engine.loaded!.digest;
    const loads = [engine.load("forbid (principal, action, resource);"), engine.load(ALL), engine.load("// none")];
    const seen = new Set<string>();
    let done = false;
    const all = Promise.all(loads).then(() => {
      done = true;
    });
    while (!done) {
      const { decision, policyDigest } = await engine.decide(request());
      expect(decision === "allow").toBe(policyDigest === allowing);
      seen.add(policyDigest);
      await new Promise((resolve) => setTimeout(resolve));
    }
    await all;
    expect(engine.loaded?.text).toBe("// none");
    expect(await engine.decide(request())).toMatchObject({ reason: "no-permit", policyDigest: engine.loaded?.digest });
    expect(seen.size).toBeGreaterThan(0);
  });

  test("a hundred policies can be loaded in turn", async () => {
    const engine = engineOf();
    for (let n = 0; n < 100; n++) {
      await engine.load(
        `@id("p${n}") permit (principal, action == Action::"call:send", resource) when { context.input.cents == ${n} };`,
      );
      expect((await engine.decide(request({ to: "", cents: n }))).policies).toEqual([`p${n}`]);
      expect((await engine.decide(request({ to: "", cents: n - 1 }))).decision).toBe("deny");
    }
  });

  test.each([
    [
      "a syntax error",
      "// é\npermit (principal, action resource);",
      "line 2, column 27",
      "permit (principal, action resource);",
    ],
    [
      "an unknown field",
      `// é permit (principal, action, resource);\n${ALL}\n${ALL}\n  permit (principal, action == Action::"call:send", resource)\n  when { "é€😀" == "" || context.input.amount == 1 };`,
      "line 5, column 26",
      `when { "é€😀" == "" || context.input.amount == 1 };`,
    ],
    [
      "an unknown tool",
      `permit (principal, action == Action::"call:sned", resource);`,
      "line 1, column 30",
      "call:sned",
    ],
    ["an unknown type of principal", `permit (principal == User::"a", action, resource);`, "line 1, column 22", "User"],
    [
      "a type error",
      `permit (principal, action == Action::"call:send", resource)\r\nwhen { context.input.to < 1 };`,
      "line 2, column 8",
      "context.input.to",
    ],
    [
      "an optional field without has",
      `permit (principal, action == Action::"call:send", resource) when { context.input.urgent };`,
      "line 1, column 68",
      "urgent",
    ],
    ["a template", `${ALL}\npermit (principal == ?principal, action, resource);`, "line 2, column 1", "?principal"],
    [
      "the third of three similar policies",
      `${ALL} // ${ALL}\n${ALL} permit (principal, action == Action::"no", resource);`,
      "line 2, column",
      "no",
    ],
  ])("%s is refused, with its position", async (_, text, where, line) => {
    const error = await refusal(engineOf().load(text));
    expect(error.code).toBe("invalid-policy");
    expect(error.message).toContain(where);
    expect(error.message).toContain(line);
  });

  test("a policy about a field that policies cannot see is refused, with the reason", async () => {
    for (const [condition, hint] of [
      ["context.input.ratio == 1", "multipleOf"],
      ["context.input.either == 1", "more than one type"],
      ["context.input has either && context.input.either == 1", "more than one type"],
      ["context has input.either", "more than one type"],
      ["(if true then context.input else context.input) has either", "more than one type"],
    ] as const) {
      const text = `forbid (principal, action == Action::"call:send", resource) when { ${condition} };`;
      const error = await refusal(engineOf().load(text));
      expect(error.code).toBe("invalid-policy");
      expect(error.message).toContain(hint);
    }
  });

  test.each([
    [`action == Action::"call:send"`, `context.input has amuont`, "no tool declares context.input.amuont"],
    [`action`, `context.input has amuont && context.input.amuont == 1`, "no tool declares context.input.amuont"],
    [
      `action`,
      `context.input has address && !(context.input["address"] has zip)`,
      "no tool declares context.input.address.zip",
    ],
    [`action`, `context.input has address.zip`, "no tool declares context.input.address.zip"],
    [`action == Action::"call:read"`, `context.input has urgent`, "no tool declares context.input.urgent"],
    [`action in [Action::"call:read"]`, `context.input has urgent`, "no tool declares context.input.urgent"],
    [`action`, `context.vak has approval`, "no tool declares context.vak.approval"],
    [`action`, `context has labels`, "no tool declares context.labels"],
    [`action`, `principal has swarm`, "an Agent has no swarm"],
    [`action`, `resource has owner`, "declared nowhere"],
    [`action`, `resource == Tool::"sned"`, `there is no tool "sned"`],
    [`action`, `[Tool::"send", Tool::"sned"].contains(resource)`, `there is no tool "sned"`],
  ])("an unknown name, with which a forbid would never match, is refused (%s, %s)", async (action, condition, says) => {
    const error = await refusal(engineOf().load(`forbid (principal, ${action}, resource) when { ${condition} };`));
    expect(error.code).toBe("invalid-policy");
    expect(error.message).toContain(says);
  });

  test("an unknown tool in the scope is refused too", async () => {
    for (const scope of [`resource == Tool::"sned"`, `resource in Tool::"sned"`, `resource is Tool in Tool::"sned"`]) {
      const error = await refusal(engineOf().load(`forbid (principal, action, ${scope});`));
      expect(error.message).toContain(`there is no tool "sned"`);
    }
  });

  test.each([
    [`action`, `context.input has urgent && context.input.urgent`],
    [`action in Action::"call"`, `context.input has address && context.input.address has city`],
    [`action in [Action::"call:send", Action::"call:read"]`, `context has input.address.city`],
    [`action == Action::"call:send"`, `principal has name && context has vak.now && context.vak has calls`],
    [`action`, `resource == Tool::"send"`],
  ])("a name that a tool in scope declares is accepted (%s, %s)", async (action, condition) => {
    const engine = await loaded(`${ALL} forbid (principal, ${action}, resource) when { ${condition} };`);
    const decision = await engine.decide(request({ to: "", cents: 1, urgent: true, address: { city: "x" } }));
    expect(decision).toMatchObject({ decision: "deny", reason: "forbidden" });
  });

  test.each([
    ["the same @id twice", `@id("a") ${ALL} @id("a") ${ALL}`, `"a"`],
    ["an @id that another policy has by its position", `@id("policy1") ${ALL} ${ALL}`, `"policy1"`],
    ["an empty @id", `@id ${ALL}`, "printable"],
    ["an @id with control characters", `@id("a\\nb") ${ALL}`, "printable"],
    ["an @id that is too long", `@id("${"a".repeat(129)}") ${ALL}`, "printable"],
  ])("%s is refused", async (_, text, message) => {
    const error = await refusal(engineOf().load(text));
    expect(error.code).toBe("invalid-policy");
    expect(error.message).toContain(message);
  });

  test("unusual ids are kept", async () => {
    const ids = ["__proto__", "constructor", "10", "2", "é €", "😀"];
    const engine = await loaded(ids.map((id) => `@id("${id}") ${ALL}`).join("\n"));
    expect(engine.loaded?.policies).toEqual(ids);
    expect((await engine.decide(request())).policies.sort()).toEqual([...ids].sort());
  });

  test("brackets and quotes in comments and strings do not count", async () => {
    const text = `// ${"(".repeat(100)} "\npermit (principal, action, resource) when { "${"(".repeat(100)}//" != "\\"(" };`;
    const engine = await loaded(text);
    expect((await engine.decide(request())).decision).toBe("allow");
  });

  test("a policy that is not text, too long or not well-formed is refused", async () => {
    expect((await refusal(engineOf().load(undefined as unknown as string))).code).toBe("invalid-policy");
    expect((await refusal(engineOf().load("//\ud800"))).code).toBe("invalid-policy");
    const error = await refusal(engineOf().load(`//${" ".repeat(MAX_POLICY_BYTES)}`));
    expect(error.code).toBe("invalid-policy");
    expect(error.message).toContain(String(MAX_POLICY_BYTES));
  });

  test("any text loads or is refused with invalid-policy, and then the old policy decides", async () => {
    const engine = await loaded(`@id("old") ${ALL}`);
    const piece = fc.constantFrom(
      ...[
        "permit",
        "forbid",
        "(",
        ")",
        "principal",
        "action",
        "resource",
        ",",
        ";",
        "when",
        "{",
        "}",
        "context",
        ".",
        "input",
      ],
      ...[
        "&&",
        "||",
        "!",
        "-",
        "1",
        '"',
        "//",
        "\n",
        "\r",
        "@id",
        '("a")',
        "==",
        "?principal",
        "::",
        "Agent",
        "[",
        "]",
        "\\",
        ALL,
      ],
    );
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(" ")),
    );
    await fc.assert(
      fc.asyncProperty(text, async (text) => {
        const before = engine.loaded;
        const error = await engine.load(text).then(
          () => undefined,
          (error: VakError) => error,
        );
        if (error) {
          expect(error.code).toBe("invalid-policy");
          expect(engine.loaded).toBe(before);
        } else expect(engine.loaded?.text).toBe(text);
      }),
      { numRuns: 300 },
    );
  });
});

describe("Cedar's wasm", () => {
  const respond = (body: Uint8Array, init: ResponseInit) => new Response(new Uint8Array(body), init);

  test.each([
    ["bytes", () => wasmBytes],
    ["an ArrayBuffer", () => new Uint8Array(wasmBytes).buffer],
    ["a module", () => module],
    ["a response", () => respond(wasmBytes, { headers: { "content-type": "application/wasm" } })],
    ["a promise of a response", async () => respond(wasmBytes, { headers: { "content-type": "application/wasm" } })],
    ["a response with the wrong MIME type", () => respond(wasmBytes, { headers: { "content-type": "text/html" } })],
    ["a response without a MIME type", () => respond(wasmBytes, {})],
  ])("loads from %s", async (_, wasm) => {
    const engine = createCedarEngine({ tools: [send], wasm: wasm() });
    await engine.load(ALL);
    expect((await engine.decide(request())).decision).toBe("allow");
  });

  test.each([
    ["a response with an error status", () => respond(wasmBytes, { status: 404 }), "404"],
    ["a response that is not wasm", () => respond(new Uint8Array([1, 2, 3]), {}), "cedar.wasm"],
    ["bytes that are not wasm", () => new Uint8Array([1, 2, 3]), "createKernel({ cedar })"],
    ["another wasm module", () => new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]), "createKernel({ cedar })"],
    ["an address that does not answer", () => "http://127.0.0.1:1/cedar.wasm", "http://127.0.0.1:1/cedar.wasm"],
  ])("does not load from %s: the error is policy-unavailable, and everything is denied", async (_, wasm, says) => {
    const engine = createCedarEngine({ tools: [send], wasm: wasm() });
    const error = await refusal(engine.load(ALL));
    expect(error.code).toBe("policy-unavailable");
    expect(error.message).toContain(says);
    expect(await engine.decide(request())).toMatchObject({ decision: "deny", reason: "policy-unavailable" });
  });

  test("nothing is fetched before the first load", async () => {
    let asked = 0;
    class Lazy extends Promise<Response> {
      // biome-ignore lint/suspicious/noThenProperty: counts when it is used
      override then: Promise<Response>["then"] = (...args) => {
        asked++;
        return Promise.resolve(respond(wasmBytes, {})).then(...args);
      };
    }
    const wasm = new Lazy(() => {});
    const engine = createCedarEngine({ tools: [send], wasm });
    await engine.decide(request());
    expect(asked).toBe(0);
    await engine.load(ALL);
    await engine.load(ALL);
    expect(asked).toBe(1);
  });
});

describe("pitfalls of Cedar", () => {
  test("an evaluation error skips a forbid, and the call is still denied", async () => {
    const engine = await loaded(`
      @id("all") ${ALL}
      @id("dear") forbid (principal, action == Action::"call:send", resource) when { context.input.cents * context.input.cents > 1000 };
    `);
    expect((await engine.decide(request({ to: "", cents: 5 }))).decision).toBe("allow");
    expect(await engine.decide(request({ to: "", cents: 50 }))).toMatchObject({
      reason: "forbidden",
      policies: ["dear"],
    });
    const overflow = await engine.decide(request({ to: "", cents: Number.MAX_SAFE_INTEGER }));
    expect(overflow).toMatchObject({ decision: "deny", reason: "policy-error", policies: ["dear"] });
    expect(overflow.errors[0]).toContain("overflow");
  });

  test("an evaluation error in a permit denies too, but a forbid that matched remains the reason", async () => {
    const engine = await loaded(`
      @id("bad") permit (principal, action == Action::"call:send", resource) when { context.input.cents * context.input.cents > 0 };
      @id("no") forbid (principal, action == Action::"call:send", resource) when { context.input.to == "bob" };
    `);
    const cents = Number.MAX_SAFE_INTEGER;
    expect(await engine.decide(request({ to: "ann", cents }))).toMatchObject({
      decision: "deny",
      reason: "policy-error",
      policies: ["bad"],
    });
    const both = await engine.decide(request({ to: "bob", cents }));
    expect(both).toMatchObject({ decision: "deny", reason: "forbidden", policies: ["no"] });
    expect(both.errors).toHaveLength(1);
  });

  test.each<[string, unknown]>([
    ["null", null],
    ["a string", "x"],
    ["a list", []],
    ["a missing field", { to: "ann" }],
    ["a wrong type", { to: 1, cents: 1 }],
    ["an entity for a string", { to: { __entity: { type: "Agent", id: "a" } }, cents: 1 }],
    ["a fraction for an integer", { to: "", cents: 1.5 }],
    ["an integer beyond 2^53", { to: "", cents: 2 ** 53 }],
    ["NaN", { to: "", cents: Number.NaN }],
    ["a decimal of five digits", { to: "", cents: 1, price: 0.00001 }],
    ["a decimal too large", { to: "", cents: 1, price: 1e15 }],
    ["an object for a set", { to: "", cents: 1, tags: { length: 1 } }],
    ["a lone surrogate", { to: "\ud800", cents: 1 }],
  ])("bad input (%s) is denied, and the engine keeps working", async (_, input) => {
    const engine = await loaded(ALL);
    const decision = await engine.decide(request(input as Record<string, unknown>));
    expect(decision).toMatchObject({ decision: "deny", reason: "policy-unavailable" });
    expect(decision.errors.length).toBeGreaterThan(0);
    await settled(engine);
  });

  test.each<[string, PolicyRequest["vak"]]>([
    ["now", { callDigest: "", now: Number.NaN, calls: 0, approved: false, labels: [] }],
    ["calls", { callDigest: "", now: 0, calls: 0.5, approved: false, labels: [] }],
    ["callDigest", { callDigest: 5 as unknown as string, now: 0, calls: 0, approved: false, labels: [] }],
  ])("a bad fact from the kernel (%s) is denied, and the engine keeps working", async (_, vak) => {
    const engine = await loaded(ALL);
    expect(await engine.decide(request({ to: "", cents: 1 }, { vak }))).toMatchObject({
      decision: "deny",
      reason: "policy-unavailable",
    });
    await settled(engine);
  });

  test.each([
    ["150 nested parentheses", `${"(".repeat(150)}true${")".repeat(150)}`],
    ["150 nested sets", `${"[".repeat(150)}1${"]".repeat(150)} == 1`],
    ["150 nested records", `${"{a:".repeat(150)}1${"}".repeat(150)} == 1`],
    ["a 500-term && chain", Array(500).fill("context.vak.calls == 1").join(" && ")],
    ["a 10,000-term || chain", Array(10_000).fill("context.vak.calls == 1").join("||")],
    [
      "a 110-term + chain, which Cedar loads and cannot evaluate",
      `${Array(110).fill("context.vak.calls").join(" + ")} == 1`,
    ],
    ["400 else-ifs", `${"if context.vak.calls == 1 then true else ".repeat(400)}true`],
    ["300 attributes", `context${".vak".repeat(300)}`],
    ["110 conditions", `true }${" when { context.vak.calls == 1 }".repeat(110)} when { true`],
  ])("%s: refused before it reaches the live instance", async (_, expression) => {
    const engine = await loaded(ALL);
    const error = await refusal(engine.load(`permit (principal, action, resource) when { ${expression} };`));
    expect(error.code).toBe("invalid-policy");
    expect((await engine.decide(request())).decision).toBe("allow");
  });

  test("a policy just inside the bounds loads and decides", async () => {
    const n = MAX_POLICY_DEPTH;
    for (const expression of [
      `${"(".repeat(n - 1)}true${")".repeat(n - 1)}`,
      Array(n - 4)
        .fill("context.vak.calls == 3")
        .join(" && "),
      Array(n - 5)
        .fill("context.vak.calls == 4")
        .join(" || ")
        .concat(" || true"),
      `${Array(n - 4)
        .fill("context.vak.calls")
        .join(" + ")} > 1`,
      `true }${" when { context.vak.calls == 3 }".repeat(n - 6)} when { true`,
    ]) {
      const engine = await loaded(`permit (principal, action, resource) when { ${expression} };`);
      expect(await engine.decide(request())).toMatchObject({ decision: "allow" });
    }
  });

  test("an instance that trapped is replaced, and every call is denied until then", async () => {
    // 8 MB for all of Cedar: a request of 16 MB does not fit.
    const wasm = await WebAssembly.compile(capMemory(wasmBytes, 128));
    const engine = createCedarEngine({ tools: [send], wasm });
    await engine.load(ALL);
    for (let times = 0; times < 3; times++) {
      expect((await engine.decide(request())).decision).toBe("allow");
      const [trapped, meanwhile] = await Promise.all([
        engine.decide(request({ to: "x".repeat(16 << 20), cents: 1 })),
        engine.decide(request()),
      ]);
      expect(trapped).toMatchObject({ decision: "deny", reason: "policy-unavailable", policies: [] });
      expect(meanwhile).toMatchObject({
        decision: "deny",
        reason: "policy-unavailable",
        errors: ["the policy engine is being restarted"],
      });
      await settled(engine);
    }
    expect(engine.loaded?.text).toBe(ALL);
  });

  test("an instance that keeps trapping and is not replaced ends up answering nothing", async () => {
    const cedar = await createCedar(module);
    const policy = (expression: string) => `permit (principal, action, resource) when { ${expression} };`;
    const parse = (expression: string) => cedar.checkParsePolicySet({ staticPolicies: policy(expression) });
    expect(parse("true").type).toBe("success");
    expect(() => parse(`${"(".repeat(1000)}true${")".repeat(1000)}`)).toThrow();
    // Each trap leaves its frames on the stack in the instance's memory.
    const answers = Array.from({ length: 50 }, () => {
      expect(() => parse(`${"(".repeat(1000)}true${")".repeat(1000)}`)).toThrow();
      try {
        return parse("true").type;
      } catch {
        return "trap";
      }
    });
    expect(answers.at(-1)).toBe("trap");
  });

  test("__entity and __extn in a guest's JSON never become entities or extension values", async () => {
    const free = defineTool({
      name: "free",
      description: "Takes anything.",
      inputSchema: {
        type: "object",
        properties: { to: { type: "string" }, price: { type: "number", multipleOf: 0.01 } },
        additionalProperties: true,
      },
      execute: () => null,
    });
    const engine = await loaded(ALL, [free]);
    for (const value of [
      { __entity: { type: "Agent", id: "root" } },
      { __extn: { fn: "decimal", arg: "1.0" } },
      { __expr: "1" },
      JSON.parse('{"__proto__":{"to":"x"}}'),
    ]) {
      for (const input of [{ to: value }, { price: value }, value, { other: { deep: [value] } }]) {
        expect(await parseInput(free, input)).toMatchObject({ ok: false });
      }
      for (const input of [{ to: value }, { price: value }]) {
        expect((await engine.decide(request(input, { tool: "free" }))).decision).toBe("deny");
      }
      // Cedar never sees an undeclared field, so it has no effect.
      expect((await engine.decide(request({ other: value }, { tool: "free" }))).decision).toBe("allow");
    }
  });

  test("integers beyond 2^53 are refused at the boundary", async () => {
    for (const text of ["9007199254740992", "9007199254740993", "-9007199254740993", "1e300"]) {
      const parsed = await parseInput(send, JSON.parse(`{"to":"","cents":${text}}`));
      expect(parsed).toEqual({ ok: false, message: expect.stringContaining("2^53") });
    }
    const engine = await loaded(
      `permit (principal, action == Action::"call:send", resource) when { context.input.cents == 9007199254740991 };`,
    );
    expect((await engine.decide(request({ to: "", cents: 9007199254740991 }))).decision).toBe("allow");
    expect((await engine.decide(request({ to: "", cents: 9007199254740990 }))).decision).toBe("deny");
  });

  test("a denial for lack of a permit differs from one by a forbid", async () => {
    const engine = await loaded(
      `@id("never") forbid (principal, action == Action::"call:send", resource) when { context.input.cents > 9 };`,
    );
    expect(await engine.decide(request({ to: "", cents: 1 }))).toMatchObject({ reason: "no-permit", policies: [] });
    expect(await engine.decide(request({ to: "", cents: 10 }))).toMatchObject({
      reason: "forbidden",
      policies: ["never"],
    });
  });

  test("an error message that quotes the guest is bounded", async () => {
    const engine = await loaded(ALL);
    const agent = { id: "a", name: 5 as unknown as string, program: "x".repeat(100_000) };
    const { errors } = await engine.decide(request(undefined, { agent }));
    expect(errors.join("").length).toBeLessThan(5000);
  });
});

describe("fuzz", () => {
  const json = fc.jsonValue({ maxDepth: 5 });
  const key = fc.oneof(
    fc.constantFrom("to", "cents", "price", "tags", "address", "city", "__entity", "__extn", "mode", "__proto__"),
    fc.string(),
  );
  const value = fc.oneof(
    json,
    fc.constantFrom("ann", 5, 0.01, 1e15, -0, 2 ** 53, ["a"], { city: "x" }, { __extn: { fn: "ip", arg: "x" } }),
  );
  const input = fc.oneof(
    json,
    fc.dictionary(key, value),
    fc.record(
      { to: fc.string({ unit: "binary" }), cents: fc.integer(), price: fc.double() },
      { requiredKeys: ["to", "cents"] },
    ),
  );

  test("under a forbid of everything, no input of a guest is allowed", async () => {
    const engine = await loaded(
      `forbid (principal, action, resource); ${ALL} permit (principal, action in Action::"call", resource);`,
    );
    await fc.assert(
      fc.asyncProperty(input, fc.boolean(), async (value, parse) => {
        const parsed = parse ? await parseInput(send, value) : { ok: true as const, input: value };
        if (!parsed.ok) {
          expect(parsed.message).not.toBe("");
          return;
        }
        const decision = await engine.decide(request(parsed.input as Record<string, unknown>));
        expect(decision.decision).toBe("deny");
      }),
      { numRuns: 2000 },
    );
    await settled(engine, "deny");
  });

  test("under a permit of everything, every valid input is allowed: none is lost in conversion", async () => {
    const engine = await loaded(ALL);
    let through = 0;
    const price = fc.integer({ min: -(10 ** 9), max: 10 ** 9 }).map((cents) => cents / 100);
    const valid = fc.record({ to: fc.string(), cents: fc.integer(), price }, { requiredKeys: ["to", "cents"] });
    await fc.assert(
      fc.asyncProperty(fc.oneof(input, valid), async (value) => {
        const parsed = await parseInput(send, value);
        if (!parsed.ok) return;
        through++;
        const decision = await engine.decide(request(parsed.input));
        // A `number` may pass multipleOf by the validator's tolerance and yet not be a decimal; that alone is denied.
        const price = parsed.input.price;
        const exact = price === undefined || /^-?\d{1,15}(\.\d{1,4})?$/.test(String(price));
        // The largest whole number of a Cedar decimal, which is an i64 of ten-thousandths.
        const fits = Math.abs(Number(price ?? 0)) <= 922_337_203_685_477;
        expect(decision.decision).toBe(exact && fits ? "allow" : "deny");
      }),
      { numRuns: 2000 },
    );
    expect(through).toBeGreaterThan(100);
  });
});

/** Waits until an instance that was replaced answers again. */
async function settled(engine: PolicyEngine, decision: "allow" | "deny" = "allow"): Promise<void> {
  for (;;) {
    const answer = await engine.decide(request());
    if (answer.reason !== "policy-unavailable") return expect(answer.decision).toBe(decision);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
