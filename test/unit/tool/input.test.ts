/** Input of tools, checked against their schemas. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defineTool } from "../../../src/tool/definition.ts";
import { checkOutput, parseInput } from "../../../src/tool/input.ts";
import { add, integer, message, toolWith } from "./tools.ts";

describe("parseInput", () => {
  test("the input is a frozen copy without prototypes", async () => {
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

  test("a short message says what is wrong and where", async () => {
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
    expect(await message(either, { a: true })).toBe("input.a: matches none of the forms that the tool accepts");
    const long = await message(add, { a: 1, b: 2, ["x".repeat(10_000)]: 1 });
    expect(long.length).toBeLessThanOrEqual(300);
  });

  test("an object that lists its properties is closed, at every depth, unless its schema opens it", async () => {
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

  test("an input at the bounds is accepted", async () => {
    expect((await parseInput(open, nest(64))).ok).toBe(true);
    expect((await parseInput(open, { a: Array.from({ length: 16_382 }, () => 1) })).ok).toBe(true);
    expect((await parseInput(open, { a: [2 ** 53 - 1, -(2 ** 53) + 1, 0.1, -0, "😀", null, true] })).ok).toBe(true);
  });

  test("a $ref finds a schema by any name", async () => {
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

  test("an inner $ref that leads nowhere refuses the input and does not throw", async () => {
    const tool = toolWith({ type: "object", properties: { a: { $ref: "#/properties/a" }, b: { $ref: "#/$defs/no" } } });
    expect(await message(tool, { a: 1 })).not.toBe("");
    expect(await message(tool, { b: 1 })).not.toBe("");
  });

  test("attack: a reference to something that is not a schema and was never checked as one", () => {
    const hidden = { uniqueItems: true, pattern: "(a+)+$" };
    for (const $ref of ["#/x-hidden", "#/properties/a/default", "#/$defs", "#/$defs/a/enum/0", "https://a.example/"]) {
      const properties = { a: { type: "string", default: hidden }, b: { $ref } };
      expect(() =>
        toolWith({ type: "object", properties, "x-hidden": hidden, $defs: { a: { enum: [hidden] } } }),
      ).toThrow(expect.objectContaining({ code: "invalid-tool" }));
    }
  });

  test("uniqueItems never compares a list longer than maxItems", async () => {
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

  test("alternatives that refer back to themselves take bounded time", async () => {
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

  test("only tools made by defineTool are accepted", async () => {
    await expect(parseInput({ ...add }, {})).rejects.toMatchObject({ code: "invalid-tool" });
    await expect(checkOutput({ ...add }, {})).rejects.toMatchObject({ code: "invalid-tool" });
  });

  test("any value is refused with a message, or survives a round trip through JSON", async () => {
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

describe("checkOutput", () => {
  const tool = defineTool({
    name: "t",
    description: "t",
    inputSchema: { type: "object" },
    outputSchema: { type: "object", properties: { n: integer }, required: ["n"] },
    execute: () => ({ n: 1 }),
  });

  test("an answer is checked against outputSchema", async () => {
    expect(await checkOutput(tool, { n: 1 })).toBeUndefined();
    expect(await checkOutput(tool, { n: "x" })).toContain("output.n");
    expect(await checkOutput(tool, undefined)).toBeTypeOf("string");
    expect(await checkOutput(add, "anything")).toBeUndefined();
  });
});
