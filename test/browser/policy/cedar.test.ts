/** Cedar's wasm in a browser: how it loads, and what happens when it traps. */
import { createCedar } from "virtual:cedar-glue";
import { describe, expect, test } from "vitest";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import { MAX_POLICY_DEPTH } from "../../../src/policy/cedar/read.ts";
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";
import type { PolicyEngine, PolicyRequest } from "../../../src/policy/engine.ts";
import { defineTool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";
import { capMemory } from "../../unit/policy/capped.ts";

const add = defineTool({
  name: "add",
  description: "Adds.",
  inputSchema: {
    type: "object",
    properties: { a: { type: "integer" }, b: { type: "integer" } },
    required: ["a", "b"],
  },
  execute: ({ a, b }) => a + b,
});

const ALL = "permit (principal, action, resource);";
const wasmBytes = new Uint8Array(await (await fetch(cedarWasmUrl)).arrayBuffer());
const module = await WebAssembly.compile(wasmBytes);

function request(input: Record<string, unknown> = { a: 1, b: 2 }): PolicyRequest {
  return {
    agent: { id: "a1", name: "test", program: "00" },
    tool: "add",
    input,
    vak: { callDigest: "abcd", now: Date.UTC(2026, 0), calls: 3, approved: false, labels: [] },
  };
}

function named(name: string): PolicyRequest {
  return { ...request(), agent: { id: "a1", name, program: "00" } };
}

async function loaded(text: string): Promise<PolicyEngine> {
  const engine = createCedarEngine({ tools: [add], wasm: module });
  await engine.load(text);
  return engine;
}

describe("Cedar's wasm in this browser", () => {
  test("is fetched from its default place, and decides", async () => {
    const engine = createCedarEngine({ tools: [add] });
    expect((await engine.decide(request())).reason).toBe("policy-unavailable");
    await engine.load(`permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`);
    expect((await engine.decide(request())).decision).toBe("allow");
    expect(await engine.decide(request({ a: 100, b: 0 }))).toMatchObject({ decision: "deny", reason: "no-permit" });
    engine.close();
    expect((await engine.decide(request())).decision).toBe("deny");
  });

  test.each([undefined, "application/wasm", "application/wasm; charset=x", "text/html"])(
    "compiles from a response of type %s",
    async (type) => {
      const bytes = await (await fetch(cedarWasmUrl)).arrayBuffer();
      const response = new Response(bytes, type === undefined ? {} : { headers: { "content-type": type } });
      const engine = createCedarEngine({ tools: [add], wasm: response });
      await engine.load(ALL);
      expect((await engine.decide(request())).decision).toBe("allow");
    },
  );

  test("if it is missing, the error says where it was looked for", async () => {
    const wasm = new URL("/no-such/cedar.wasm", location.href);
    const engine = createCedarEngine({ tools: [add], wasm });
    const error = await engine.load(ALL).catch((error) => error);
    expect(error).toMatchObject({ code: "policy-unavailable" });
    expect(error.message).toContain("/no-such/cedar.wasm");
    expect((await engine.decide(request())).decision).toBe("deny");
  });
});

describe("traps of Cedar in this browser", () => {
  test("an evaluation error in a forbid denies the call", async () => {
    const engine = await loaded(
      `${ALL} @id("big") forbid (principal, action == Action::"call:add", resource) when { context.input.a * context.input.b > 1000 };`,
    );
    expect((await engine.decide(request())).decision).toBe("allow");
    expect(await engine.decide(request({ a: 2 ** 53 - 1, b: 2 ** 53 - 1 }))).toMatchObject({
      decision: "deny",
      reason: "policy-error",
      policies: ["big"],
    });
  });

  test.each([
    ["150 nested parentheses", `${"(".repeat(150)}true${")".repeat(150)}`],
    ["a 500-term && chain", Array(500).fill("context.vak.calls == 1").join(" && ")],
    ["a 10,000-term || chain", Array(10_000).fill("context.vak.calls == 1").join("||")],
    ["a 110-term + chain", `${Array(110).fill("context.vak.calls").join(" + ")} == 1`],
    ["2,000 else-ifs", `${"if context.vak.calls == 1 then true else ".repeat(2000)}true`],
  ])("%s: refused before the live instance sees it", async (_, expression) => {
    const engine = await loaded(ALL);
    const load = engine.load(`permit (principal, action, resource) when { ${expression} };`);
    await expect(load).rejects.toMatchObject({ code: "invalid-policy" });
    expect((await engine.decide(request())).decision).toBe("allow");
  });

  /** Makes the next `times` instances of Cedar trap on first use, as a fault of the engine would. Returns the undo. */
  function trapsIn(times: number): () => void {
    const { instantiate } = WebAssembly;
    let left = times;
    WebAssembly.instantiate = async (module: BufferSource | WebAssembly.Module, imports?: WebAssembly.Imports) => {
      const instance = (await instantiate(module as WebAssembly.Module, imports)) as WebAssembly.Instance;
      if (left-- <= 0) return instance as WebAssembly.Instance & WebAssembly.WebAssemblyInstantiatedSource;
      const validate = () => {
        throw new WebAssembly.RuntimeError("Out of bounds memory access");
      };
      return { module, instance: { exports: { ...instance.exports, validate } } } as never;
    };
    return () => {
      WebAssembly.instantiate = instantiate;
    };
  }

  test("a policy is refused only if a second instance refuses it too", async () => {
    for (const [times, code] of [
      [1, undefined],
      [2, "invalid-policy"],
    ] as const) {
      const restore = trapsIn(times);
      const engine = createCedarEngine({ tools: [add], wasm: module });
      const failed = await engine.load(ALL).then(
        () => undefined,
        (error) => error,
      );
      restore();
      expect(failed?.code, failed?.message).toBe(code);
      expect((await engine.decide(request())).decision).toBe(code ? "deny" : "allow");
    }
  });

  test("policies just within the bounds load and decide", async () => {
    const n = MAX_POLICY_DEPTH;
    for (const expression of [
      `${"(".repeat(n - 1)}true${")".repeat(n - 1)}`,
      `${"!(".repeat(n - 2)}true${")".repeat(n - 2)}`,
      `${"{a:".repeat(n - 2)}1${"}".repeat(n - 2)} != {}`.replace("!= {}", "has a"),
      Array(n - 4)
        .fill("context.vak.calls == 3")
        .join(" && "),
      `${Array(n - 5)
        .fill("context.vak.calls == 4")
        .join(" || ")} || true`,
      `${Array(n - 4)
        .fill("context.vak.calls")
        .join(" + ")} > 1`,
    ]) {
      const engine = await loaded(`permit (principal, action, resource) when { ${expression} };`);
      expect(await engine.decide(request())).toMatchObject({ decision: "allow" });
    }
  });

  test("a trapped instance is replaced; until then every call is denied", async () => {
    // With 8 MB of memory in all, Cedar cannot hold a request of 16 MB.
    const wasm = await WebAssembly.compile(capMemory(wasmBytes, 128));
    const engine = createCedarEngine({ tools: [add], wasm });
    await engine.load(ALL);
    for (let times = 0; times < 3; times++) {
      expect((await engine.decide(request())).decision).toBe("allow");
      const [trapped, meanwhile] = await Promise.all([
        engine.decide(named("x".repeat(16 << 20))),
        engine.decide(request()),
      ]);
      expect(trapped).toMatchObject({ decision: "deny", reason: "policy-unavailable", policies: [] });
      expect(meanwhile).toMatchObject({
        decision: "deny",
        reason: "policy-unavailable",
        errors: ["the policy engine is being restarted"],
      });
      await expect.poll(async () => (await engine.decide(request())).decision).toBe("allow");
    }
    expect(engine.loaded?.text).toBe(ALL);
  });

  test("__entity and __extn in a guest's JSON are refused, and denied if they reach the engine", async () => {
    const engine = await loaded(ALL);
    for (const a of [{ __entity: { type: "Agent", id: "x" } }, { __extn: { fn: "decimal", arg: "1.0" } }]) {
      expect((await parseInput(add, { a, b: 1 })).ok).toBe(false);
      expect((await engine.decide(request({ a, b: 1 }))).decision).toBe("deny");
    }
  });

  test("instances do not share state", async () => {
    const [one, two] = await Promise.all([createCedar(module), createCedar(module)]);
    const deep = `permit (principal, action, resource) when { ${"(".repeat(5000)}true${")".repeat(5000)} };`;
    expect(() => one.checkParsePolicySet({ staticPolicies: deep })).toThrow();
    expect(two.checkParsePolicySet({ staticPolicies: ALL }).type).toBe("success");
  });
});
