import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { VakError } from "../../../src/errors.ts";
import {
  checkOutput,
  defineTool,
  type JsonSchema,
  parseInput,
  type StandardSchema,
  type Tool,
} from "../../../src/tool/tool.ts";

const integer = { type: "integer" } as const;

/** JSON of which JavaScript can make no text: `String()` of it throws a TypeError. */
const NO_TEXT = { toString: 1, valueOf: 1 };

function toolWith(inputSchema: JsonSchema): Tool {
  return defineTool({ name: "t", description: "Test.", inputSchema, execute: () => null });
}

const add = defineTool({
  name: "add",
  description: "Adds two integers.",
  inputSchema: { type: "object", properties: { a: integer, b: integer }, required: ["a", "b"] },
  execute: ({ a, b }) => a + b,
});

async function message(tool: Tool, value: unknown): Promise<string> {
  const parsed = await parseInput(tool, value);
  if (parsed.ok) throw new Error("it was accepted");
  return parsed.message;
}

describe("defineTool", () => {
  test("gives a frozen tool in MCP's shape", () => {
    const execute = () => 1;
    const tool = defineTool({
      name: "a.b-c_D9",
      title: "A tool",
      description: "Does it.",
      inputSchema: { type: "object", properties: { list: { type: "array", items: { type: "string" } } } },
      outputSchema: { type: "object", properties: { n: integer } },
      annotations: { readOnlyHint: true },
      execute,
    });
    expect(tool).toEqual({
      name: "a.b-c_D9",
      title: "A tool",
      description: "Does it.",
      inputSchema: {
        type: "object",
        properties: { list: { type: "array", items: { type: "string" } } },
        additionalProperties: false,
      },
      outputSchema: { type: "object", properties: { n: integer }, additionalProperties: false },
      annotations: { readOnlyHint: true },
      execute,
    });
    expect(Object.isFrozen(tool)).toBe(true);
    expect(Object.isFrozen(tool.inputSchema.properties)).toBe(true);
    expect(Object.isFrozen(tool.annotations)).toBe(true);
  });

  test("the definition can change afterwards; the tool does not", async () => {
    const properties: Record<string, JsonSchema> = { a: integer };
    const inputSchema = { type: "object", properties };
    const tool = toolWith(inputSchema);
    properties.a = { type: "string" };
    inputSchema.type = "string";
    expect((await parseInput(tool, { a: 1 })).ok).toBe(true);
  });

  test("types the input of execute from the schema", () => {
    defineTool({
      name: "t",
      description: "t",
      inputSchema: {
        type: "object",
        properties: {
          text: { type: "string" },
          count: { type: "integer" },
          ratio: { type: "number" },
          yes: { type: "boolean" },
          list: { type: "array", items: { type: "object", properties: { x: { type: "number" } }, required: ["x"] } },
          mode: { enum: ["fast", "slow"] },
          one: { const: 1 },
          any: {},
          either: { type: ["string", "null"] },
        },
        required: ["text", "list", "mode", "one", "any"],
      },
      execute: (input, context) => {
        expectTypeOf(input).toEqualTypeOf<{
          readonly text: string;
          readonly list: readonly { readonly x: number }[];
          readonly mode: "fast" | "slow";
          readonly one: 1;
          readonly any: unknown;
          readonly count?: number;
          readonly ratio?: number;
          readonly yes?: boolean;
          readonly either?: unknown;
        }>();
        expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
      },
    });
    expectTypeOf(add.execute).parameter(0).toEqualTypeOf<{ readonly a: number; readonly b: number }>();
    const wide: JsonSchema = { type: "object" };
    defineTool({
      name: "t",
      description: "t",
      inputSchema: wide,
      execute: (input) => expectTypeOf(input).toBeUnknown(),
    });
    const tools: Tool[] = [add];
    expect(tools).toHaveLength(1);
  });

  test.each([
    ["no name", { name: undefined }],
    ["an empty name", { name: "" }],
    ["a name with a quote", { name: 'a"b' }],
    ["a name with a space", { name: "a b" }],
    ["a name with a newline at its end", { name: "a\n" }],
    ["a name that is too long", { name: "a".repeat(65) }],
    ["no description", { description: "" }],
    ["no execute", { execute: undefined }],
    ["a name that cannot be written as text", { name: NO_TEXT }],
    ["a title that is not a string", { title: NO_TEXT }],
    ["a cost that is not a function", { cost: {} }],
    ["a leaks that is not a function", { leaks: {} }],
    ["annotations that are not an object", { annotations: null }],
    ["a hint that is not a boolean", { annotations: { readOnlyHint: "true" } }],
    ["labels that are not an object", { labels: null }],
    ["accepted labels that are not a list", { labels: { accepts: "" } }],
    ["returned labels that are not a list", { labels: { returns: 0 } }],
    ["an inputSchema that is missing", { inputSchema: undefined }],
    ["an inputSchema that is true", { inputSchema: true }],
    ["an outputSchema that is not of an object", { outputSchema: { type: "string" } }],
    ["an outputSchema that is null", { outputSchema: null }],
    ["an outputSchema that is false", { outputSchema: false }],
  ])("refuses %s", (_, change) => {
    const good = { name: "t", description: "t", inputSchema: { type: "object" }, execute: () => null };
    expect(() => defineTool({ ...good, ...change } as never)).toThrow(
      expect.objectContaining({ code: "invalid-tool" }),
    );
  });

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
      "with a reserved field inside",
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

  test("refuses a definition that is not an object", () => {
    for (const definition of [undefined, null, "add", [add]]) {
      expect(() => defineTool(definition as never)).toThrow(expect.objectContaining({ code: "invalid-tool" }));
    }
  });

  test("any JSON for a schema: a tool or invalid-tool", { timeout: 60_000 }, () => {
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
    ...{ type: ["type", "types"], required: ["list", "names", "types"], enum: list, examples: list },
    ...{ $ref: ["ref"], pattern: text, format: text, title: text, description: text, $comment: text, $schema: text },
    ...{ contentEncoding: text, contentMediaType: text, multipleOf: ["one", "fraction"] },
    ...{ minLength: count, maxLength: count, minItems: count, maxItems: count, minContains: count, maxContains: count },
    ...{ minProperties: count, maxProperties: count, dependentRequired: ["object", "namesByName"] },
    ...{ minimum: [...count, "negative", "fraction"], maximum: [...count, "negative", "fraction"] },
    ...{ exclusiveMinimum: [...count, "negative", "fraction"], exclusiveMaximum: [...count, "negative", "fraction"] },
    ...{ uniqueItems: ["false"], writeOnly: ["true", "false"], readOnly: ["true", "false"], $vocabulary: ["object"] },
    ...{ deprecated: ["true", "false"], const: Object.keys(VALUES), default: Object.keys(VALUES) },
    ...{ not: schema, if: schema, else: schema, items: schema, contains: schema, additionalProperties: schema },
    ...{ propertyNames: schema, unevaluatedItems: schema, unevaluatedProperties: schema, contentSchema: schema },
    ...{ allOf: schemas, anyOf: schemas, oneOf: schemas, prefixItems: schemas },
    ...{ properties: ["object", "schemas"], patternProperties: ["object", "schemas"], $defs: ["object", "schemas"] },
    ...{ definitions: ["object", "schemas"], dependentSchemas: ["object", "schemas"] },
    ...{ $id: [], $anchor: [], $dynamicAnchor: [], $dynamicRef: [], additionalItems: [], dependencies: [] },
  };
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  TAKES.then = schema;

  test.each(Object.entries(TAKES))("%s: one that it cannot have is refused, with its place", (keyword, takes) => {
    for (const [name, value] of Object.entries(VALUES)) {
      const define = () => toolWith({ type: "object", properties: { p: { [keyword]: value } }, $defs: { d: {} } });
      if (takes.includes(name)) expect(define, name).not.toThrow();
      else {
        expect(define, name).toThrow(expect.objectContaining({ code: "invalid-tool" }));
        expect(define, name).toThrow(/inputSchema at properties\/p/);
        expect(define, name).toThrow(keyword);
      }
    }
  });

  test("it is refused wherever the schema stands, and in an outputSchema", () => {
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

  test("attack: a secret that is marked with the word true is kept", () => {
    expect(() => toolWith({ type: "object", properties: { key: { type: "string", writeOnly: "true" } } })).toThrow(
      "properties/key: writeOnly must be true or false",
    );
  });

  test("any JSON in the place of one keyword's value: a tool that reads any input, or invalid-tool", {
    timeout: 60_000,
  }, async () => {
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

describe("what the validator reads", () => {
  const secret = { type: "string", const: "x" };

  test("attack: a keyword that vak does not know gives $defs another meaning", async () => {
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

  test("attack: a $ref that the validator follows to a secret, and the log does not", () => {
    for (const $ref of ["#/$defs/a\t", "#/$defs/\na", "#/$defs/a ", "#/$defs/100%", "#/$defs/\ud800"]) {
      const $defs = { a: { writeOnly: true }, "100%": { writeOnly: true }, "\ufffd": { writeOnly: true } };
      expect(() => toolWith({ type: "object", properties: { key: { $ref } }, $defs })).toThrow(/\$ref must be/);
    }
  });
});

describe("parseInput", () => {
  test("gives a frozen copy without prototypes", async () => {
    const value = { a: 1, b: 2 };
    const parsed = await parseInput(add, value);
    if (!parsed.ok) throw new Error(parsed.message);
    expect({ ...parsed.input }).toEqual({ a: 1, b: 2 });
    expect(parsed.argument).toBe(parsed.input);
    expect(Object.isFrozen(parsed.input)).toBe(true);
    expect(Object.getPrototypeOf(parsed.input)).toBeNull();
    value.a = 9;
    expect(parsed.input.a).toBe(1);
    const nested = await parseInput(toolWith({ type: "object" }), { x: [{ y: [] }] });
    if (!nested.ok) throw new Error(nested.message);
    const [first] = nested.input.x as { y: unknown[] }[];
    expect([nested.input.x, first, first?.y].every(Object.isFrozen)).toBe(true);
  });

  test("says shortly what is wrong and where", async () => {
    expect(await message(add, { a: 1 })).toBe('input: Instance does not have required property "b".');
    expect(await message(add, { a: 1, b: "x" })).toBe(
      'input.b: Instance type "string" is invalid. Expected "integer".',
    );
    expect(await message(add, { a: 1, b: 1.5 })).toContain("input.b");
    expect(await message(add, { a: 1, b: 2, c: 3 })).toBe("input.c: no such field");
    expect(await message(add, "x")).toContain("object");
    const nested = toolWith({ type: "object", properties: { "a/b~c%": { type: "array", items: integer } } });
    expect(await message(nested, { "a/b~c%": [1, "x"] })).toContain("input.a/b~c%.1");
    const either = toolWith({ type: "object", properties: { a: { anyOf: [{ type: "string" }, integer] } } });
    expect(await message(either, { a: true })).toBe("input.a: is none of what the tool takes");
    const long = await message(add, { a: 1, b: 2, ["x".repeat(10_000)]: 1 });
    expect(long.length).toBeLessThanOrEqual(300);
  });

  test("an object that lists its properties is closed, in depth, unless it says otherwise", async () => {
    const inner = { type: "object", properties: { x: integer } };
    const closed = toolWith({ type: "object", properties: { o: inner, l: { type: "array", items: inner } } });
    expect(await message(closed, { o: { x: 1, y: 1 } })).toBe("input.o.y: no such field");
    expect(await message(closed, { l: [{ y: 1 }] })).toBe("input.l.0.y: no such field");
    for (const open of [
      { type: "object", properties: { x: integer }, additionalProperties: true },
      { type: "object" },
      { type: "object", properties: { x: integer }, allOf: [{ type: "object", properties: { y: integer } }] },
      { type: "object", properties: { x: integer }, patternProperties: { "^y$": {} } },
    ]) {
      expect(await parseInput(toolWith(open), { x: 1, y: 1 })).toMatchObject({ ok: true });
    }
    const composed = toolWith({
      type: "object",
      properties: { o: { type: "object", properties: { x: integer } } },
      allOf: [{ properties: { o: { type: "object", properties: { y: integer } } } }],
    });
    expect(await parseInput(composed, { o: { x: 1, y: 1 } })).toMatchObject({ ok: true });
    expect(await message(composed, { o: { x: 1, y: "" } })).toContain("input.o.y");
  });

  test("required and declared fields are never found on a prototype", async () => {
    const tool = toolWith({
      type: "object",
      properties: { constructor: {}, toString: integer },
      required: ["constructor"],
    });
    expect(await message(tool, {})).toContain("constructor");
    expect((await parseInput(tool, { constructor: 1 })).ok).toBe(true);
  });

  const open = toolWith({ type: "object" });
  const nest = (levels: number): unknown => (levels === 0 ? 1 : { a: nest(levels - 1) });
  test.each<[string, unknown, string]>([
    ["undefined", undefined, "not JSON"],
    ["null", null, "object"],
    ["a list", [], "object"],
    ["a function", { a: () => 1 }, "not JSON"],
    ["a symbol", { a: Symbol("x") }, "not JSON"],
    ["a bigint", { a: 1n }, "not JSON"],
    ["a date", { a: new Date(0) }, "not JSON"],
    ["a map", { a: new Map() }, "not JSON"],
    ["bytes", { a: new Uint8Array(1) }, "not JSON"],
    ["a hole in a list", { a: new Array(3) }, "not JSON"],
    ["a vast empty list", { a: new Array(2 ** 32 - 1) }, "16384 values"],
    ["NaN", { a: Number.NaN }, "finite"],
    ["an integer beyond 2^53", { a: [2 ** 53] }, "input.a[0] is beyond 2^53"],
    ["half of a surrogate pair", { a: "\udc00" }, "surrogate"],
    ["half of a surrogate pair in a name", { "\ud800": 1 }, "surrogate"],
    ["__entity", { a: [{ __entity: { type: "Agent", id: "x" } }] }, "input.a[0].__entity: the name is reserved"],
    ["__extn", { __extn: 1 }, "reserved"],
    ["__proto__", JSON.parse('{"a":{"__proto__":{}}}'), "reserved"],
    ["65 levels", nest(66), "nested more than 64 deep"],
    ["100,000 levels", JSON.parse(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`), "nested"],
    ["too many values", { a: Array.from({ length: 16_384 }, () => 1) }, "16384 values"],
  ])("refuses %s", async (_, value, says) => {
    expect(await message(open, value)).toContain(says);
  });

  test("the bounds themselves are accepted", async () => {
    expect((await parseInput(open, nest(64))).ok).toBe(true);
    expect((await parseInput(open, { a: Array.from({ length: 16_382 }, () => 1) })).ok).toBe(true);
    expect((await parseInput(open, { a: [2 ** 53 - 1, -(2 ** 53) + 1, 0.1, -0, "😀", null, true] })).ok).toBe(true);
  });

  test("a $ref finds a schema whatever its name", async () => {
    const $defs = { "a/b~c%d é": integer, list: { items: { $ref: "#/$defs/a~1b~0c%25d%20%C3%A9" } } };
    const tool = toolWith({
      $id: "https://example.com/tool.json",
      type: "object",
      $ref: "#/$defs/whole",
      $defs: { ...$defs, whole: { id: "Whole", properties: { a: { $ref: "#/$defs/list" } } } },
    });
    expect((await parseInput(tool, { a: [1] })).ok).toBe(true);
    expect(await message(tool, { a: ["x"] })).toContain("input.a.0");
  });

  test("a schema that cannot be followed refuses the input and does not throw", async () => {
    const tool = toolWith({ type: "object", properties: { a: { $ref: "#/properties/a" }, b: { $ref: "#/$defs/no" } } });
    expect(await message(tool, { a: 1 })).not.toBe("");
    expect(await message(tool, { b: 1 })).not.toBe("");
  });

  test("attack: a reference to what is no schema, and was never checked as one", () => {
    const hidden = { uniqueItems: true, pattern: "(a+)+$" };
    for (const $ref of ["#/x-hidden", "#/properties/a/default", "#/$defs", "#/$defs/a/enum/0", "https://a.example/"]) {
      const properties = { a: { type: "string", default: hidden }, b: { $ref } };
      expect(() =>
        toolWith({ type: "object", properties, "x-hidden": hidden, $defs: { a: { enum: [hidden] } } }),
      ).toThrow(expect.objectContaining({ code: "invalid-tool" }));
    }
  });

  test("uniqueItems compares no list that is longer than maxItems", async () => {
    const list = { type: "array", items: {}, uniqueItems: true, maxItems: 3, allOf: [{ minItems: 1 }] };
    const tool = toolWith({
      type: "object",
      properties: { a: list, b: { type: "array", items: { $ref: "#/properties/a" } } },
    });
    expect((await parseInput(tool, { a: [{ x: 1 }, { x: 2 }, 1], b: [[1], [1]] })).ok).toBe(true);
    expect(await message(tool, { a: [{ x: 1 }, { x: 1 }] })).toContain("input.a: ");
    expect(await message(tool, { b: [[1], [2, 2]] })).toContain("input.b.1: ");
    expect(await message(tool, { a: [] })).toContain("input.a");
    expect(await message(tool, { a: Array.from({ length: 5000 }, (_, x) => ({ x })) })).toContain("too many");
  });

  test("alternatives that refer back to themselves do not take for ever", async () => {
    const node = {
      type: "object",
      properties: { next: { $ref: "#/$defs/node" }, kind: { const: "x" } },
      required: ["kind"],
    };
    const tool = toolWith({
      type: "object",
      properties: { root: { $ref: "#/$defs/node" } },
      $defs: { node: { anyOf: [node, node, { type: "integer" }] } },
    });
    const nested = (levels: number): unknown => (levels === 0 ? 1 : { next: nested(levels - 1), kind: "x" });
    const wrong = (levels: number): unknown => (levels === 0 ? "no" : { next: wrong(levels - 1), kind: "x" });
    expect((await parseInput(tool, { root: nested(5) })).ok).toBe(true);
    expect(await message(tool, { root: wrong(5) })).toContain("input.root");
    expect(await message(tool, { root: nested(60) })).toContain("takes too long");
    expect(await message(tool, { root: wrong(60) })).not.toBe("");
  });

  test("only tools made by defineTool", async () => {
    await expect(parseInput({ ...add }, {})).rejects.toMatchObject({ code: "invalid-tool" });
    await expect(checkOutput({ ...add }, {})).rejects.toMatchObject({ code: "invalid-tool" });
  });

  test("any value: ok or a message, and what is ok survives a round trip through JSON", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.anything({ maxDepth: 4, withBigInt: true, withDate: true, withMap: true }), async (value) => {
        const parsed = await parseInput(open, value);
        if (parsed.ok) expect(JSON.parse(JSON.stringify(parsed.input))).toEqual(JSON.parse(JSON.stringify(value)));
        else expect(parsed.message).not.toBe("");
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a Standard Schema", () => {
  /** What Zod and its like give: a validator that also says what it is in JSON Schema. */
  function trimmed(more: object = {}): StandardSchema<{ text: string }> {
    return {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: async (value) => {
          const { text } = value as { text: string };
          return text.trim() === "" ? { issues: [{ message: "blank" }] } : { value: { text: text.trim() } };
        },
        jsonSchema: {
          input: ({ target }) => {
            expect(target).toBe("draft-2020-12");
            return { type: "object", properties: { text: { type: "string" } }, required: ["text"] };
          },
        },
        ...more,
      },
    };
  }

  test("validates after the JSON Schema that it gives, and execute gets what it made", async () => {
    const tool = defineTool({
      name: "t",
      description: "t",
      inputSchema: trimmed(),
      execute: ({ text }) => {
        expectTypeOf(text).toBeString();
        return text;
      },
    });
    expect(tool.inputSchema).toMatchObject({ type: "object", required: ["text"] });
    const parsed = await parseInput(tool, { text: " x " });
    expect(parsed).toMatchObject({ ok: true, input: { text: " x " }, argument: { text: "x" } });
    expect(await message(tool, { text: " " })).toBe("input: blank");
    expect(await message(tool, { text: 1 })).toContain("input.text");
  });

  test("a schema that is a function, as ArkType's are", async () => {
    const callable = Object.assign(() => {}, trimmed());
    const tool = defineTool({ name: "t", description: "t", inputSchema: callable, execute: () => null });
    expect((await parseInput(tool, { text: "x" })).ok).toBe(true);
  });

  test.each([
    ["cannot say what it is", { jsonSchema: undefined }],
    [
      "fails to say what it is",
      {
        jsonSchema: {
          input: () => {
            throw new Error("no");
          },
        },
      },
    ],
    ["is not of an object", { jsonSchema: { input: () => ({ type: "string" }) } }],
    ["has no validate", { validate: undefined }],
    ["has a vendor that is not a string", { vendor: NO_TEXT, jsonSchema: undefined }],
  ])("refuses one that %s", (_, more) => {
    const define = () => defineTool({ name: "t", description: "t", inputSchema: trimmed(more), execute: () => null });
    expect(define).toThrow(expect.objectContaining({ code: "invalid-tool" }));
  });

  test("refuses JSON Schema with a field that looks like one", () => {
    for (const value of [null, 1, {}, NO_TEXT]) {
      expect(() => toolWith({ type: "object", "~standard": value })).toThrow(
        expect.objectContaining({ code: "invalid-tool" }),
      );
    }
  });

  test("one that throws refuses the input", async () => {
    const throwing = trimmed({
      validate: () => {
        throw new Error("broken");
      },
    });
    const tool = defineTool({ name: "t", description: "t", inputSchema: throwing, execute: () => null });
    expect(await message(tool, { text: "x" })).toBe("broken");
  });
});

describe("checkOutput", () => {
  const tool = defineTool({
    name: "t",
    description: "t",
    inputSchema: { type: "object" },
    outputSchema: { type: "object", properties: { n: integer }, required: ["n"] },
    execute: () => ({ n: 1 }),
  });

  test("checks an answer against outputSchema", async () => {
    expect(await checkOutput(tool, { n: 1 })).toBeUndefined();
    expect(await checkOutput(tool, { n: "x" })).toContain("output.n");
    expect(await checkOutput(tool, undefined)).toBeTypeOf("string");
    expect(await checkOutput(add, "anything")).toBeUndefined();
  });
});
