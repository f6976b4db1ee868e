/** Secrets that a schema marks. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { commitValue } from "../../../src/audit/value.ts";
import { openValue } from "../../../src/audit/value-opening.ts";
import { defineTool } from "../../../src/tool/definition.ts";
import type { JsonSchema } from "../../../src/tool/schema.ts";
import { secretsOf } from "../../../src/tool/secrets.ts";

const SECRET = { type: "string", writeOnly: true };

function schemaOf(inputSchema: JsonSchema): JsonSchema {
  return defineTool({ name: "t", description: "t", inputSchema, execute: () => null }).inputSchema;
}

const cases: [what: string, schema: JsonSchema, input: unknown, secrets: string[]][] = [
  ["no marks", { properties: { a: { type: "string" } } }, { a: "x" }, []],
  ["writeOnly: false", { properties: { a: { type: "string", writeOnly: false } } }, { a: "x" }, []],
  ["a field", { properties: { a: SECRET, b: { type: "string" } } }, { a: "x", b: "y" }, ["/a"]],
  ["a field that the input lacks", { properties: { a: SECRET } }, {}, []],
  ["a field with special characters", { properties: { "a/b~c": SECRET } }, { "a/b~c": "x" }, ["/a~1b~0c"]],
  ["the whole input", { writeOnly: true, properties: { a: { type: "string" } } }, { a: "x" }, [""]],
  ["an object", { properties: { a: { type: "object", writeOnly: true } } }, { a: { b: "x" } }, ["/a"]],
  [
    "deep within",
    { properties: { a: { properties: { b: { items: SECRET } } } } },
    { a: { b: ["x", "y"] } },
    ["/a/b/0", "/a/b/1"],
  ],
  ["in a tuple", { properties: { a: { prefixItems: [{}, SECRET], items: {} } } }, { a: [1, "x", 2] }, ["/a/1"]],
  ["by $ref", { properties: { a: { $ref: "#/$defs/s" } }, $defs: { s: SECRET } }, { a: "x" }, ["/a"]],
  [
    "by a $ref that comes back to itself",
    { properties: { a: { $ref: "#/$defs/n" } }, $defs: { n: { properties: { s: SECRET, n: { $ref: "#/$defs/n" } } } } },
    { a: { s: "x", n: { n: { s: "y" } } } },
    ["/a/s", "/a/n/n/s"],
  ],
  ["in one of several branches", { properties: { a: { anyOf: [{ type: "number" }, SECRET] } } }, { a: 1 }, ["/a"]],
  ["in oneOf and allOf", { allOf: [{ oneOf: [{ properties: { a: SECRET } }] }] }, { a: "x" }, ["/a"]],
  // biome-ignore lint/suspicious/noThenProperty: it is the keyword
  ["under then", { if: {}, then: { properties: { a: SECRET } } }, { a: "x" }, ["/a"]],
  ["for fields of a pattern", { patternProperties: { "^s_": SECRET } }, { s_1: "x", t: "y" }, ["/s_1"]],
  ["for all other fields", { properties: { a: {} }, additionalProperties: SECRET }, { b: "x" }, ["/b"]],
];

describe("secrets, as a schema marks them", () => {
  test.each(cases)("%s", (_, schema, input, secrets) => {
    expect(secretsOf(schemaOf({ type: "object", ...schema }), input).sort()).toEqual(secrets.sort());
  });

  test("a schema that refers only to itself terminates", () => {
    const schema = { type: "object", $ref: "#", properties: { a: SECRET } };
    expect(secretsOf(schema, { a: "x" })).toEqual(["/a"]);
  });
});

describe("a value with secrets", () => {
  test("is committed to and kept without them, and says so", () => {
    const input = { user: "ann", password: "hunter2", keys: ["k1", "k2"] };
    const { digest, file } = commitValue("input", input, ["/password", "/keys/1", "/not-there"]);
    expect(new TextDecoder().decode(file)).not.toMatch(/hunter2|k2|not-there/);
    expect(openValue(file, "input", digest)).toEqual({
      value: { user: "ann", password: null, keys: ["k1", null] },
      withheld: ["/password", "/keys/1"],
    });
  });

  test("does not verify with another list of what was withheld", () => {
    const { digest, file } = commitValue("input", { a: null, b: 1 }, ["/a"]);
    const text = new TextDecoder().decode(file);
    for (const other of ["", ',"withheld":[]', ',"withheld":["/b"]', ',"withheld":["/a","/b"]', ',"withheld":"/a"']) {
      const changed = new TextEncoder().encode(text.replace(',"withheld":["/a"]', other));
      expect(() => openValue(changed, "input", digest)).toThrow(/commits to|does not hold one/);
    }
  });

  test("keeps nothing of any value that is a secret", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (secret) => {
        const { digest, file } = commitValue("input", { a: secret, b: 1 }, ["/a"]);
        const { value, withheld } = openValue(file, "input", digest);
        expect({ value, withheld }).toEqual({ value: { a: null, b: 1 }, withheld: ["/a"] });
      }),
    );
  });
});
