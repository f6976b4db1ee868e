/** The constitution, which no policy can override. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { VakError } from "../../../src/errors.ts";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import type { PolicyRequest, PolicySource } from "../../../src/policy/engine.ts";
import { wasmBytes } from "./wasm.ts";

const module = await WebAssembly.compile(wasmBytes);

const tools = ["send", "read"].map((name) => ({
  name,
  inputSchema: { type: "object", properties: { cents: { type: "integer" } }, required: ["cents"] },
}));

const constitution = `
  @id("never-much") forbid (principal, action == Action::"call:send", resource) when { context.input.cents >= 50 };
  forbid (principal, action, resource) when { principal.name == "eve" };
`;

const engineOf = (text = constitution) => createCedarEngine({ tools, constitution: text, wasm: module });

function request(tool: string, cents: number, name = "ann", approved = false): PolicyRequest {
  const vak = { callDigest: "abcd", now: Date.UTC(2026, 0), calls: 3, approved, labels: [] };
  return { agent: { id: "a1", name, program: "00" }, tool, input: { cents }, vak };
}

const refusal = (text: string, source: PolicySource = "permit (principal, action, resource);"): Promise<VakError> =>
  engineOf(text)
    .load(source)
    .then(
      () => expect.fail("it was not refused"),
      (error) => error,
    );

test("it applies with every policy, the log has all of it, and its ids are apart from the policy's", async () => {
  const engine = engineOf();
  const all = `@id("all") permit (principal, action, resource);`;
  const { policies, base, text } = await engine.load(all);
  expect({ policies, text }).toEqual({ policies: ["all"], text: all });
  expect(JSON.parse(base).constitution).toBe(constitution);
  expect(await engine.decide(request("send", 1))).toMatchObject({ decision: "allow" });
  expect(await engine.decide(request("send", 50))).toMatchObject({ reason: "forbidden", policies: ["never-much"] });
  expect(await engine.decide(request("read", 1, "eve"))).toMatchObject({ policies: ["constitution1"] });
  const { because } = await engine.explain(request("send", 50));
  expect(because[0]!.text).toContain("context.input.cents >= 50");
});

test("no policy can override it: not a later one, one in shadow, with an approval or with types of its own", async () => {
  const one = fc.record({
    effect: fc.constantFrom("permit", "forbid"),
    mode: fc.constantFrom("", '@mode("shadow") '),
    condition: fc.constantFrom(
      "true",
      "false",
      "context.vak.approved",
      "context.input.cents < 70",
      'principal.name == "eve"',
    ),
  });
  const schema = fc.constantFrom(undefined, "entity Group;", "entity Tool { risk?: Long };");
  await fc.assert(
    fc.asyncProperty(
      fc.array(one, { maxLength: 4 }),
      schema,
      fc.integer({ min: 0, max: 100 }),
      async (list, schema, cents) => {
        const kept = list.filter(
          ({ effect, condition }) => effect === "permit" || condition !== "context.vak.approved",
        );
        const policies = kept
          .map(({ effect, mode, condition }) => `${mode}${effect} (principal, action, resource) when { ${condition} };`)
          .join("\n");
        const pack = { policies, ...(schema && { schema }) };
        const [above, plain] = [engineOf(), createCedarEngine({ tools, wasm: module })];
        await above.load("permit (principal, action, resource);");
        await Promise.all([above.load(pack), plain.load(pack)]);
        for (const tool of ["send", "read"]) {
          for (const name of ["ann", "eve"]) {
            for (const approved of [false, true]) {
              const it = request(tool, cents, name, approved);
              const decision = await above.decide(it);
              if ((tool === "send" && cents >= 50) || name === "eve")
                expect(decision).toMatchObject({ decision: "deny", reason: "forbidden" });
              else expect(decision.decision).toBe((await plain.decide(it)).decision);
            }
          }
        }
      },
    ),
    { numRuns: 40 },
  );
});

test.each<[string, string, string]>([
  ["a permit", "permit (principal, action, resource);", "a constitution only forbids"],
  ["a policy in shadow", `@mode("shadow") forbid (principal, action, resource);`, "has no @mode"],
  [
    "a forbid that an approval should lift",
    "forbid (principal, action, resource) unless { context.vak.approved };",
    "no approval overrides",
  ],
  ["text that does not parse", "forbid (", "The constitution is refused"],
  ["text that does not validate", "forbid (principal, action, resource) when { context.input.dollars > 1 };", "line 1"],
  ["the name of an unknown tool", `forbid (principal, action, resource == Tool::"sned");`, "there is no tool"],
  ["a type that only a pack declares", `forbid (principal, action, resource in Group::"g");`, "Group"],
])("%s is refused", async (_, text, message) => {
  const error = await refusal(text, { policies: "permit (principal, action, resource);", schema: "entity Group;" });
  expect(error).toMatchObject({ code: "invalid-policy", message: expect.stringContaining(message) });
  expect(error.message).toContain("The constitution is refused");
});

test("a policy cannot use an id of the constitution's", async () => {
  for (const id of ["never-much", "constitution1"]) {
    const error = await refusal(constitution, `@id("${id}") permit (principal, action, resource);`);
    expect(error.message).toContain(`the constitution has a policy "${id}"`);
  }
});
