/** Which schemas a tool may have. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VakError } from "../../../src/errors.ts";
import { defineTool, type Tool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";
import { type JsonSchema, onlyKnownKeywords } from "../../../src/tool/schema.ts";
import { message, NO_TEXT, toolWith } from "./tools.ts";

describe("a schema", () => {
  const circular: Record<string, unknown> = { type: "object" };
  circular.properties = { circular };
  const deep = (levels: number): JsonSchema => (levels === 0 ? {} : { type: "array", items: deep(levels - 1) });
  test.each<[string, unknown]>([
    ["not of an object", { type: "string" }],
    ["of no type", { properties: {} }],
    ["of two types", { type: ["object", "null"] }],
    ["circular", circular],
    ["with a bigint", { type: "object", const: 1n }],
    ["too deep", { type: "object", properties: { a: deep(70) } }],
    ["too deep in a value", { type: "object", default: JSON.parse("[".repeat(5000) + "]".repeat(5000)) }],
    ["too large", { type: "object", description: "x".repeat(70_000) }],
    ["with a reserved field", { type: "object", properties: { __entity: {} } }],
    ["with __proto__ for a field", JSON.parse('{"type":"object","properties":{"__proto__":{}}}')],
    [
      "with a reserved field deep inside",
      { type: "object", properties: { a: { anyOf: [{ properties: { __extn: {} } }] } } },
    ],
    ["with a remote $ref", { type: "object", properties: { a: { $ref: "https://example.com/a.json" } } }],
    ["with a relative $ref", { type: "object", properties: { a: { $ref: "a.json#/x" } } }],
    ["with a $ref to an $anchor", { type: "object", properties: { a: { $ref: "#a" } } }],
    ["with a $ref to nothing", { type: "object", $ref: "#/$defs/a" }],
    ["with an endless $ref", { type: "object", $ref: "#" }],
    [
      "with an endless $ref by way of others",
      { type: "object", allOf: [{ $ref: "#/$defs/a" }], $defs: { a: { not: { $ref: "#/allOf/0" } } } },
    ],
    ["with a $ref to what is not a schema", { type: "object", $ref: "#/$defs", $defs: {} }],
    ["with a $ref to a field of a prototype", { type: "object", $ref: "#/$defs/constructor", $defs: {} }],
    ["with a $ref that is not encoded", { type: "object", $ref: "#/$defs/%", $defs: { "%": {} } }],
    ["with an inner $id", { type: "object", properties: { a: { $id: "x" } } }],
    ["with $dynamicRef", { type: "object", properties: { a: { $dynamicRef: "#a" } } }],
    ["with a tuple of an older draft", { type: "object", properties: { a: { items: [{}] } } }],
    ["with an unknown type", { type: "object", properties: { a: { type: "int" } } }],
    ["with a property that is not a schema", { type: "object", properties: { a: "string" } }],
    ["with properties that are a list", { type: "object", properties: [] }],
    ["with a required that is not a list", { type: "object", required: "a" }],
    ["requiring what it does not declare", { type: "object", properties: { a: {} }, required: ["b"] }],
    ["with a bad pattern", { type: "object", properties: { a: { pattern: "(" } } }],
    ["with a bad patternProperties", { type: "object", patternProperties: { "(": {} } }],
    ["with an enum that is not a list", { type: "object", properties: { a: { enum: "x" } } }],
    ["with a multipleOf of zero", { type: "object", properties: { a: { multipleOf: 0 } } }],
    ["with uniqueItems and no maxItems", { type: "object", properties: { a: { uniqueItems: true } } }],
    ["with uniqueItems of many", { type: "object", properties: { a: { uniqueItems: true, maxItems: 101 } } }],
    ["with allOf that is not a list", { type: "object", allOf: {} }],
  ])("refuses a schema %s", (_, schema) => {
    expect(() => toolWith(schema as JsonSchema)).toThrow(VakError);
    expect(() => toolWith(schema as JsonSchema)).toThrow(expect.objectContaining({ code: "invalid-tool" }));
  });

  test("any JSON as a schema gives a tool or invalid-tool", () => {
    const names = ["type", "properties", "items", "$ref", "required", "allOf", "$id", "enum", "pattern", "if"];
    const word = fc.constantFrom(...names, "~standard");
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom("object", "#", "#/x", "integer", ["a"], NO_TEXT),
    );
    const schema = fc.dictionary(word, fc.oneof(value, fc.dictionary(word, value)));
    fc.assert(
      fc.property(schema, (given) => {
        try {
          toolWith({ ...given, type: "object" });
        } catch (error) {
          expect(error).toMatchObject({ code: "invalid-tool" });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("the value of a keyword", () => {
  /** Values of every JSON type. Each keyword names those that it takes; all others must be refused. */
  const VALUES: Record<string, unknown> = {
    ...{ null: null, true: true, false: false, zero: 0, one: 1, negative: -1, fraction: 1.5, text: "x", empty: "" },
    ...{ list: [], names: ["a"], numbers: [1], nested: [["string"]], object: {}, schemas: { a: {} }, noText: NO_TEXT },
    ...{ namesByName: { a: ["b"] }, noTexts: [NO_TEXT], type: "string", types: ["string", "null"], ref: "#/$defs/d" },
  };
  const text = ["text", "empty", "type", "ref"];
  const list = ["list", "names", "numbers", "nested", "noTexts", "types"];
  const schema = ["true", "false", "object", "schemas", "noText", "namesByName"];
  const schemas = ["list", "noTexts"];
  const count = ["zero", "one"];
  const TAKES: Record<string, string[]> = {
    ...{ type: ["type", "types"], required: ["list", "names", "types"], enum: list },
    ...{ $ref: ["ref"], pattern: text, format: text, $schema: text },
    ...{ contentEncoding: text, contentMediaType: text, multipleOf: ["one", "fraction"] },
    ...{ minLength: count, maxLength: count, minItems: count, maxItems: count, minContains: count, maxContains: count },
    ...{ minProperties: count, maxProperties: count, dependentRequired: ["object", "namesByName"] },
    ...{ minimum: [...count, "negative", "fraction"], maximum: [...count, "negative", "fraction"] },
    ...{ exclusiveMinimum: [...count, "negative", "fraction"], exclusiveMaximum: [...count, "negative", "fraction"] },
    ...{ uniqueItems: ["false"], writeOnly: ["true", "false"], readOnly: ["true", "false"], $vocabulary: ["object"] },
    ...{ const: Object.keys(VALUES) },
    ...{ not: schema, if: schema, else: schema, items: schema, contains: schema, additionalProperties: schema },
    ...{ propertyNames: schema, unevaluatedItems: schema, unevaluatedProperties: schema, contentSchema: schema },
    ...{ allOf: schemas, anyOf: schemas, oneOf: schemas, prefixItems: schemas },
    ...{ properties: ["object", "schemas"], patternProperties: ["object", "schemas"], $defs: ["object", "schemas"] },
    ...{ definitions: ["object", "schemas"], dependentSchemas: ["object", "schemas"] },
    ...{ $id: [], $anchor: [], $dynamicAnchor: [], $dynamicRef: [], additionalItems: [], dependencies: [] },
  };
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  TAKES.then = schema;

  test.each(Object.entries(TAKES))(
    "%s: a value of the wrong type is refused, and the message says where",
    (keyword, takes) => {
      for (const [name, value] of Object.entries(VALUES)) {
        const define = () => toolWith({ type: "object", properties: { p: { [keyword]: value } }, $defs: { d: {} } });
        if (takes.includes(name)) expect(define, name).not.toThrow();
        else {
          expect(define, name).toThrow(expect.objectContaining({ code: "invalid-tool" }));
          expect(define, name).toThrow(/inputSchema at properties\/p/);
          expect(define, name).toThrow(keyword);
        }
      }
    },
  );

  test.each(["title", "description", "default", "examples", "deprecated", "$comment"])(
    "%s only annotates: any JSON is accepted and kept, and the validator does not get it",
    async (keyword) => {
      for (const [name, value] of Object.entries(VALUES)) {
        const tool = toolWith({ type: "object", [keyword]: value, properties: { p: { [keyword]: value } } });
        expect(tool.inputSchema, name).toHaveProperty([keyword], value);
        expect(onlyKnownKeywords(tool.inputSchema), name).toEqual({
          type: "object",
          properties: { p: {} },
          additionalProperties: false,
        });
        expect(await parseInput(tool, { p: 1 }), name).toMatchObject({ ok: true });
      }
    },
  );

  test("it is checked at every place in a schema, and in an outputSchema", () => {
    const bad = { minLength: "1" };
    for (const [place, schema] of Object.entries({
      "": bad,
      " at $defs/d": { $defs: { d: bad } },
      " at properties/l/items": { properties: { l: { items: bad } } },
      " at allOf/1": { allOf: [{}, bad] },
      " at patternProperties/^x/not": { patternProperties: { "^x": { not: bad } } },
    })) {
      const message = `schema${place}: minLength must be a whole number, 0 or more, not "1".`;
      const whole = { type: "object", ...schema };
      expect(() => toolWith(whole)).toThrow(`Tool "t", input${message.replace("schema", "Schema")}`);
      expect(() =>
        defineTool({ name: "t", description: "t", inputSchema: { type: "object" }, outputSchema: whole, execute() {} }),
      ).toThrow(`Tool "t", output${message.replace("schema", "Schema")}`);
    }
  });

  test("attack: a bound that is a string, or uniqueItems that is 1, has every pair of a long list compared", () => {
    for (const list of [
      { uniqueItems: true, maxItems: "9" },
      { uniqueItems: 1, maxItems: 9999 },
      { uniqueItems: "yes" },
    ]) {
      expect(() => toolWith({ type: "object", properties: { list } })).toThrow(/uniqueItems|maxItems/);
    }
  });

  test('attack: a secret that is marked with the word "true" is kept in the log', () => {
    expect(() => toolWith({ type: "object", properties: { key: { type: "string", writeOnly: "true" } } })).toThrow(
      "properties/key: writeOnly must be true or false",
    );
  });

  test("any JSON as the value of one keyword gives a tool that reads any input, or invalid-tool", async () => {
    const valid = [
      {
        $id: "https://example.com/a.json",
        title: "A",
        type: "object",
        properties: {
          a: { type: ["string", "null"], minLength: 1, maxLength: 9, pattern: "^x", format: "email", writeOnly: true },
          b: { type: "array", items: { $ref: "#/$defs/n" }, uniqueItems: true, maxItems: 9, contains: { minimum: 1 } },
          c: { prefixItems: [{ const: 1 }, { enum: ["x", 2] }], unevaluatedItems: false, minItems: 1 },
        },
        required: ["a"],
        $defs: { n: { type: "number", multipleOf: 0.5, exclusiveMinimum: 0, maximum: 9, default: 1, examples: [1] } },
      },
      {
        type: "object",
        allOf: [{ properties: { a: true } }, { $ref: "#/$defs/o" }],
        if: { required: ["a"] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { maxProperties: 3 },
        else: { not: { required: ["b"] } },
        dependentRequired: { a: ["b"] },
        dependentSchemas: { b: { minProperties: 1 } },
        $defs: {
          o: { patternProperties: { "^[a-z]$": {} }, additionalProperties: false, propertyNames: { maxLength: 2 } },
        },
      },
    ];
    const inputs = [{}, { a: "x", b: [1, 1], c: [1, "x", 3] }, { a: null, b: "x" }, { b: [0.5, {}], d: 1 }, []];
    const places = valid.flatMap((schema, of) => placesIn(schema).map((place) => ({ of, place })));
    const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(...Object.values(VALUES)));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), value, async ({ of, place }, changed) => {
        const schema = structuredClone(valid[of]) as JsonSchema;
        const keyword = place.at(-1) as string;
        const parent = place.slice(0, -1).reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], schema);
        (parent as Record<string, unknown>)[keyword] = changed;
        let tool: Tool;
        try {
          tool = toolWith(schema);
        } catch (error) {
          expect(error).toMatchObject({ code: "invalid-tool" });
          return;
        }
        for (const input of inputs) expect(await parseInput(tool, input)).toHaveProperty("ok");
      }),
      { numRuns: 2000 },
    );
  });

  /** The way to each field and element of a value. */
  function placesIn(value: unknown): string[][] {
    if (typeof value !== "object" || value === null) return [];
    return Object.entries(value).flatMap(([key, inner]) => [[key], ...placesIn(inner).map((rest) => [key, ...rest])]);
  }
});

describe("the validator", () => {
  const secret = { type: "string", const: "x" };

  test("attack: a keyword that vak does not know redirects a $ref", async () => {
    const base = globalThis.location ? location.origin + location.pathname : "https://github.com/cfworker";
    for (const hidden of [
      { "x-hidden": { $id: "#/$defs/a" } },
      { "x-hidden": { id: `${base}#/$defs/a` } },
      { properties: { v: { $ref: "#/$defs/a", __absolute_ref__: `${base}#/$defs/b` } }, $defs: { a: secret, b: {} } },
    ]) {
      const tool = toolWith({
        type: "object",
        $defs: { a: secret },
        properties: { v: { $ref: "#/$defs/a" } },
        ...hidden,
      });
      expect(await message(tool, { v: "y" })).toContain("input.v");
      expect(await parseInput(tool, { v: "x" })).toMatchObject({ ok: true });
    }
  });

  test("attack: a $ref that leads the validator, but not the log, to a secret", () => {
    for (const $ref of ["#/$defs/a\t", "#/$defs/\na", "#/$defs/a ", "#/$defs/100%", "#/$defs/\ud800"]) {
      const $defs = { a: { writeOnly: true }, "100%": { writeOnly: true }, "\ufffd": { writeOnly: true } };
      expect(() => toolWith({ type: "object", properties: { key: { $ref } }, $defs })).toThrow(/\$ref must be/);
    }
  });
});
