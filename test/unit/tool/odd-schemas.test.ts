/** Schemas that mislead the library which checks inputs, and secrets that its messages would reveal. */
import { describe, expect, test } from "vitest";
import { parseInput } from "../../../src/tool/input.ts";
import type { JsonSchema } from "../../../src/tool/schema.ts";
import { message, toolWith } from "./tools.ts";

const withField = (field: JsonSchema) => toolWith({ type: "object", properties: { v: field }, required: ["v"] });

describe("attack: schemas that mislead the validator", () => {
  const looksLikeSchema = { uniqueItems: true, maxItems: 5 };
  test.each<[string, JsonSchema, unknown]>([
    ["const", { const: looksLikeSchema }, looksLikeSchema],
    ["enum", { enum: [looksLikeSchema] }, looksLikeSchema],
    ["enum, in a list", { enum: [[looksLikeSchema]] }, [looksLikeSchema]],
  ])("a value that looks like a schema, in %s, is compared as it is", async (_, field, value) => {
    const tool = withField(field);
    expect(await parseInput(tool, { v: value })).toMatchObject({ ok: true });
    expect(await parseInput(tool, { v: { ...looksLikeSchema, uniqueItems: false } })).toMatchObject({ ok: false });
  });

  test("a property named as such a keyword still has its schema checked", async () => {
    const tool = withField({ type: "object", properties: { const: { uniqueItems: true, maxItems: 2 } } });
    expect(await message(tool, { v: { const: [1, 1] } })).toContain("Duplicate items");
    expect(await message(tool, { v: { const: [1, 2, 3] } })).toContain("too many items");
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"])(
    "a format named %s, as what all objects inherit, checks nothing",
    async (format) => {
      expect(await parseInput(withField({ type: "string", format }), { v: "x" })).toMatchObject({ ok: true });
    },
  );

  test.each(["properties", "$defs", "patternProperties", "dependentSchemas"])(
    "a name in %s that is not well-formed is refused when the tool is defined",
    (keyword) => {
      expect(() => withField({ [keyword]: { "\ud800": {} } })).toThrow(
        expect.objectContaining({ code: "invalid-tool" }),
      );
    },
  );
});

describe("attack: an invalid secret reaches the log through the message that says so", () => {
  test.each<[string, JsonSchema, unknown]>([
    ["minimum", { type: "integer", minimum: 100_000 }, 31_337],
    ["maximum", { type: "integer", maximum: 9 }, 31_337],
    ["multipleOf", { type: "integer", multipleOf: 10 }, 31_337],
    ["a name", { type: "object", properties: {} }, { "31337": 1 }],
    ["propertyNames", { type: "object", propertyNames: { maxLength: 2 } }, { "31337": 1 }],
    ["an item", { type: "array", items: { type: "object", properties: {} } }, [{ "31337": 1 }]],
  ])("%s", async (_, field, value) => {
    const text = await message(withField({ ...field, writeOnly: true }), { v: value });
    expect(text).toBe("input.v: this secret is not valid");
  });

  test("what is beside a secret is still named", async () => {
    const properties = { pin: { type: "integer", writeOnly: true }, n: { type: "integer", minimum: 5 } };
    expect(await message(toolWith({ type: "object", properties }), { pin: 1, n: 4 })).toBe(
      "input.n: 4 is less than 5.",
    );
  });
});
