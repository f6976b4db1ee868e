import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createCedar } from "virtual:cedar-glue";
import { describe, expect, test } from "vitest";
import { readPolicy } from "../../../src/policy/read.ts";
import { interpret, PARSED, prepare } from "../../../src/policy/rules.ts";
import { compile } from "../../../src/policy/wasm.ts";
import { wasmBytes } from "./wasm.ts";

const root = "../shared/vectors/cedar";
const present = existsSync(`${root}/tests`);
const read = (path: string) => readFileSync(`${root}/${path}`, "utf8");

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

const rules = { digest: "", annotations: {} };

const files = present
  ? readdirSync(`${root}/tests`).flatMap((folder) =>
      readdirSync(`${root}/tests/${folder}`)
        .filter((name) => name.endsWith(".json"))
        .map((name) => `tests/${folder}/${name}`),
    )
  : [];

describe.skipIf(!present)(`Cedar's own tests, through our reading, parsing and deciding (need ${root})`, async () => {
  const module = await compile(wasmBytes);
  let requests = 0;

  for (const file of files) {
    const vector: Vector = JSON.parse(read(file));
    for (const request of vector.requests) {
      test(`${file}: ${request.description}`, async () => {
        const cedar = await createCedar(module);
        const schema = read(vector.schema);
        const parts = readPolicy(cedar, schema, [], read(vector.policies));
        prepare(cedar, { schema, enforced: new Map(parts.map((part) => [part.id, part.text])), tried: undefined });
        const { principal, action, resource, context } = request;
        const entities = JSON.parse(read(vector.entities));
        const call = { ...PARSED, principal, action, resource, context, entities };
        // Their contexts carry fields that their schemas do not declare, so these are put unvalidated, as Cedar puts them.
        const decision = interpret(cedar.statefulIsAuthorized({ ...call, validateRequest: false }), rules);
        expect(decision.decision).toBe(request.decision);
        expect([...decision.policies].sort()).toEqual([...request.reason].sort());
        expect(request.errors).toEqual([]);
        expect(decision.errors).toEqual([]);
        const validated = interpret(
          cedar.statefulIsAuthorized({ ...call, validateRequest: true, preparsedSchemaName: "vak" }),
          rules,
        );
        expect([request.decision, "deny"]).toContain(validated.decision);
        requests++;
      });
    }
  }

  test("all 74 requests were put", () => {
    expect(requests).toBe(74);
  });
});
