/** The values that go into a tool and come out of it: copied, bounded, and checked against its schemas. */
import { clip } from "../base/clip.ts";
import { errorText } from "../base/error-text.ts";
import { checksOf, type Tool } from "./definition.ts";
import { RESERVED } from "./schema.ts";

/** A guest's input after {@link parseInput}. */
export type ParsedInput =
  | {
      readonly ok: true;
      /**
       * A frozen copy of the guest's JSON, without prototypes and with URLs in one spelling: what is decided on and
       * logged.
       */
      readonly input: { readonly [field: string]: unknown };
      /** What `execute` gets: `input`, or what the Standard Schema made of it. */
      readonly argument: unknown;
    }
  | { readonly ok: false; readonly message: string };

/** Levels of nesting in a guest's input, and values in it: checking and deciding on more would hold up the page. */
const MAX_INPUT_DEPTH = 64;
const MAX_INPUT_VALUES = 16_384;
/** Characters of a message to a guest. */
const MAX_MESSAGE = 300;

/**
 * Checks what a guest sent before anything else sees it: plain JSON, at most 64 levels and 16,384 values, whole numbers
 * that JavaScript holds exactly, well-formed strings, no reserved names, valid under the tool's schema. URLs are put
 * into their one spelling first, and that spelling is what the schema checks.
 *
 * @throws VakError `invalid-tool` when the tool was not made by `defineTool`
 */
export async function parseInput(tool: Tool, value: unknown): Promise<ParsedInput> {
  const { input: check, standard, urls } = checksOf(tool);
  try {
    let input = copyJson(value, "input", 0, { left: MAX_INPUT_VALUES }) as { readonly [field: string]: unknown };
    if (urls) input = (await import("./url-spelling.ts")).withNormalUrls(tool.inputSchema, input) as typeof input;
    (await check())(input, "input");
    if (!standard) return { ok: true, input, argument: input };
    const result = await standard["~standard"].validate(input);
    if (result.issues) throw new Error(`input: ${result.issues[0]?.message ?? "not valid"}`);
    return { ok: true, input, argument: result.value };
  } catch (error) {
    return { ok: false, message: messageOf(error) };
  }
}

/**
 * Checks a tool's answer, as JSON, against its `outputSchema`.
 *
 * @returns what is wrong with it, or undefined when it is valid or the tool has no `outputSchema`
 * @throws VakError `invalid-tool` when the tool was not made by `defineTool`
 */
export async function checkOutput(tool: Tool, value: unknown): Promise<string | undefined> {
  const { output: check } = checksOf(tool);
  if (!check) return undefined;
  try {
    (await check())(value, "output");
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

const messageOf = (error: unknown): string => clip(errorText(error), MAX_MESSAGE);

/**
 * A frozen copy without prototypes, so that what is checked, decided on, logged and executed is one unchanging value.
 */
function copyJson(value: unknown, path: string, depth: number, budget: { left: number }): unknown {
  if (depth > MAX_INPUT_DEPTH) throw new Error(`input is nested more than ${MAX_INPUT_DEPTH} deep`);
  if (--budget.left < 0) throw new Error(`input has more than ${MAX_INPUT_VALUES} values`);
  switch (typeof value) {
    case "boolean":
      return value;
    case "string":
      if (!value.isWellFormed()) throw new Error(`${path} has half of a surrogate pair in it`);
      return value;
    case "number":
      if (!Number.isFinite(value)) throw new Error(`${path} is not a finite number`);
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new Error(`${path} is beyond 2^53 - 1, where numbers are no longer exact; send it as a string`);
      }
      return value;
    case "object": {
      if (value === null) return null;
      if (Array.isArray(value)) {
        if (value.length > budget.left) throw new Error(`input has more than ${MAX_INPUT_VALUES} values`);
        return Object.freeze(
          Array.from(value, (item, index) => copyJson(item, `${path}[${index}]`, depth + 1, budget)),
        );
      }
      const prototype = Object.getPrototypeOf(value);
      if (prototype !== null && prototype !== Object.prototype) break;
      const copy = Object.create(null);
      for (const [key, item] of Object.entries(value)) {
        const at = `${path}.${clip(key, 64)}`;
        if (RESERVED.has(key)) throw new Error(`${at}: the name is reserved`);
        if (!key.isWellFormed()) throw new Error(`${path} has a field with half of a surrogate pair in its name`);
        copy[key] = copyJson(item, at, depth + 1, budget);
      }
      return Object.freeze(copy);
    }
  }
  throw new Error(`${path} is not JSON`);
}
