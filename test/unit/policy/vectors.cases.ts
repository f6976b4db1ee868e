/** Cedar's own test vectors, for Node and browsers. */
import { createCedar } from "virtual:cedar-glue";
import { describe, expect, inject, test } from "vitest";
import { weigh } from "../../../src/policy/cedar/judge.ts";
import { readPolicy } from "../../../src/policy/cedar/read.ts";
import { PARSED, prepare } from "../../../src/policy/cedar/rules.ts";
import { compile, type WasmSource } from "../../../src/policy/cedar/wasm.ts";

interface Vector {
  policies: string;
  entities: string;
  schema: string;
  requests: {
    description: string;
    principal: { type: string; id: string };
    action: { type: string; id: string };
    resource: { type: string; id: string };
    context: Record<string, never>;
    decision: "allow" | "deny";
    reason: string[];
    errors: string[];
  }[];
}

const rules = { digest: "", annotations: {}, asks: false };

/** Cedar's own tests, run through the code behind every decision: reading, parsing, asking, interpreting the answer. */
export function cedarVectors(wasm: WasmSource): void {
  const texts = new Map(Object.entries(inject("cedarVectors")));
  const vectors = [...texts].filter(([path]) => /^tests\/.*\.json$/.test(path));

  describe.skipIf(texts.size === 0)("Cedar's own tests (need ../shared/vectors/cedar)", () => {
    const module = texts.size > 0 ? compile(wasm) : undefined;
    let requests = 0;

    test.each(vectors)("%s", async (_, text) => {
      const vector: Vector = JSON.parse(text);
      const schema = texts.get(vector.schema)!;
      const entities = JSON.parse(texts.get(vector.entities)!);
      const cedar = await createCedar((await module)!);
      const parts = readPolicy(cedar, schema, [], texts.get(vector.policies)!);
      prepare(cedar, { schema, enforced: new Map(parts.map((part) => [part.id, part.text])), tried: undefined });
      for (const { description, principal, action, resource, context, ...request } of vector.requests) {
        const call = { ...PARSED, principal, action, resource, context, entities };
        // Their contexts have fields that their schemas do not declare: not validated, as in Cedar's own runs.
        const decision = weigh(cedar, rules, { ...call, validateRequest: false });
        expect([description, decision.decision]).toEqual([description, request.decision]);
        expect([...decision.policies].sort()).toEqual([...request.reason].sort());
        expect(request.errors).toEqual([]);
        expect(decision.errors).toEqual([]);
        const validated = weigh(cedar, rules, { ...call, validateRequest: true });
        expect([request.decision, "deny"]).toContain(validated.decision);
        requests++;
      }
    });

    test("all 74 requests were decided", () => {
      expect(requests).toBe(74);
    });
  });
}
