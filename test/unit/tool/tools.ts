/** Tools that the tests of this room share, and what is wrong with an input. */
import { defineTool, type Tool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";
import type { JsonSchema } from "../../../src/tool/schema.ts";

export const integer = { type: "integer" } as const;

/** JSON that JavaScript cannot turn into text: `String()` of it throws a TypeError. */
export const NO_TEXT = { toString: 1, valueOf: 1 };

export function toolWith(inputSchema: JsonSchema): Tool {
  return defineTool({ name: "t", description: "Test.", inputSchema, execute: () => null });
}

export const add = defineTool({
  name: "add",
  description: "Adds two integers.",
  inputSchema: { type: "object", properties: { a: integer, b: integer }, required: ["a", "b"] },
  execute: ({ a, b }) => a + b,
});

export async function message(tool: Tool, value: unknown): Promise<string> {
  const parsed = await parseInput(tool, value);
  if (parsed.ok) throw new Error("it was accepted");
  return parsed.message;
}
