/** What `defineTool` accepts, and what it makes of it. */
import { describe, expect, expectTypeOf, test } from "vitest";
import { defineTool, type Tool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";
import type { JsonSchema } from "../../../src/tool/schema.ts";
import type { StandardSchema } from "../../../src/tool/standard.ts";
import { add, integer, message, NO_TEXT, toolWith } from "./tools.ts";

describe("defineTool", () => {
  test("a message that quotes what was given is well-formed, wherever the quotation ends", async () => {
    const long = (length: number) => `${"x".repeat(length)}${"\u{1f600}".repeat(100)}`;
    const { execute, description, inputSchema } = add;
    const refusal = (make: () => Tool) => {
      try {
        make();
      } catch (error) {
        return (error as Error).message;
      }
      throw new Error("it was accepted");
    };
    for (let length = 0; length < 2; length++) {
      const text = long(length);
      for (const quoted of [
        refusal(() => defineTool({ name: text, description, inputSchema, execute })),
        refusal(() => toolWith({ type: "object", properties: { a: { type: text } } } as JsonSchema)),
        refusal(() => toolWith({ type: "object", properties: { [text]: { type: 1 } } } as unknown as JsonSchema)),
        await message(toolWith({ type: "object", properties: { [text]: integer } }), { [text]: "1" }),
      ]) {
        expect(quoted).toContain("\u{1f600}");
        expect(quoted.isWellFormed()).toBe(true);
      }
    }
  });

  test("the tool is frozen and has MCP's shape", () => {
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

  test("changing the definition afterwards does not change the tool", async () => {
    const properties: Record<string, JsonSchema> = { a: integer };
    const inputSchema = { type: "object", properties };
    const tool = toolWith(inputSchema);
    properties.a = { type: "string" };
    inputSchema.type = "string";
    expect((await parseInput(tool, { a: 1 })).ok).toBe(true);
  });

  test("the input of execute is typed by the schema", () => {
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
    ["annotations that are not an object", { annotations: "" }],
    ["a hint that is not a boolean", { annotations: { readOnlyHint: "true" } }],
    ["labels that are not an object", { labels: "" }],
    ["accepted labels that are not a list", { labels: { accepts: "" } }],
    ["returned labels that are not a list", { labels: { returns: 0 } }],
    ["an inputSchema that is missing", { inputSchema: undefined }],
    ["an inputSchema that is true", { inputSchema: true }],
    ["an outputSchema that is not of an object", { outputSchema: { type: "string" } }],
    ["kept labels that are null", { labels: { keeps: null } }],
    ["an outputSchema that is false", { outputSchema: false }],
  ])("refuses %s", (_, change) => {
    const good = { name: "t", description: "t", inputSchema: { type: "object" }, execute: () => null };
    expect(() => defineTool({ ...good, ...change } as never)).toThrow(
      expect.objectContaining({ code: "invalid-tool" }),
    );
  });

  test("an optional field or hint that is null counts as absent", () => {
    const hints = { title: null, readOnlyHint: true, destructiveHint: null, idempotentHint: null, openWorldHint: null };
    const nulls = { title: null, labels: null, outputSchema: null };
    const good = { name: "t", description: "t", inputSchema: { type: "object" }, execute: () => null };
    const tool = defineTool({ ...good, ...nulls, annotations: hints } as never);
    expect(Object.keys(tool)).toEqual(["name", "description", "inputSchema", "annotations", "execute"]);
    expect(tool.annotations).toStrictEqual({ readOnlyHint: true });
    expect(Object.keys(defineTool({ ...good, annotations: null } as never))).not.toContain("annotations");
  });

  test("annotations are frozen below what their owner froze, also where they hold themselves", () => {
    const x = { list: [1], itself: {} };
    x.itself = x;
    const annotations = { x: Object.freeze(x) };
    defineTool({
      ...{ name: "t", description: "t", inputSchema: { type: "object" }, execute: () => null },
      annotations: annotations as object,
    });
    expect(() => x.list.push(2)).toThrow(TypeError);
  });

  test("refuses a definition that is not an object", () => {
    for (const definition of [undefined, null, "add", [add]]) {
      expect(() => defineTool(definition as never)).toThrow(expect.objectContaining({ code: "invalid-tool" }));
    }
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

  test("it validates after its JSON Schema, and execute gets its output", async () => {
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

  test("it may be a function, as ArkType's are", async () => {
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

  test("if it throws, the input is refused", async () => {
    const throwing = trimmed({
      validate: () => {
        throw new Error("broken");
      },
    });
    const tool = defineTool({ name: "t", description: "t", inputSchema: throwing, execute: () => null });
    expect(await message(tool, { text: "x" })).toBe("broken");
  });
});
