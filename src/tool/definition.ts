/** What a tool is, in MCP's shape (https://modelcontextprotocol.io), and `defineTool`, which makes one. */
import { clip } from "../base/clip.ts";
import { errorText } from "../base/error-text.ts";
import { isObject } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import type { InputOf } from "./inference.ts";
import { invalidTool, type JsonSchema, readSchema } from "./schema.ts";
import { isStandard, type StandardSchema, toJsonSchema } from "./standard.ts";
import type { Check } from "./validator.ts";

/** What a tool's `execute` is given besides the input. */
export interface ToolContext {
  /** Fires when the run ends, is stopped or is aborted: stop any work that can be stopped. */
  readonly signal: AbortSignal;
  /** The call's number within its run, from 1, as in the log. */
  readonly call: number;
  /** The agent that calls. */
  readonly agent: { readonly id: string; readonly name: string; readonly program: string };
  /** The id in the log of the run that it calls from. */
  readonly run: string;
  /**
   * Charges the call a whole number of a unit of your own that a budget counts. The sum of all charges replaces what
   * `cost` returned.
   */
  charge(unit: string, amount: number): void;
  /** The agent's labels when the call was decided: those of all that the input may be derived from. */
  readonly labels: readonly string[];
  /**
   * Adds labels to the answer, or the error, besides those that the tool `returns`: those of an agent whose output it
   * passes on, say. Has no effect once the tool has answered.
   */
  label(labels: readonly string[]): void;
}

/** What was found in an input that should not leave. */
export interface Leaks {
  /** The kinds of leaks, a word each, at most 32: `context.vak.leaks` in a policy, and in the log. */
  readonly kinds: readonly string[];
  /** The input with all leaks removed; absent where that cannot be done. */
  readonly redacted?: unknown;
}

/** What a tool's `leaks` is given besides the input. */
export type LeaksContext = Pick<ToolContext, "signal" | "call" | "agent" | "run">;

/** The labels of the data that a tool returns and accepts. */
export interface ToolLabels {
  /** Labels of its answers, errors included. The agent has them before the guest has the answer. */
  readonly returns?: readonly string[];
  /** An agent with any other label may not call it. Default: all labels are accepted; with `[]`, none is. */
  readonly accepts?: readonly string[];
  /**
   * Names what it keeps between calls, such as a mailbox or a table. The answers of all tools that keep the same thing
   * have the labels of every agent that was allowed to call one of them.
   */
  readonly keeps?: string;
}

/**
 * MCP's hints, by which a tool describes itself. They inform people, and put the tool's action into the groups
 * `destructive` and `network`, which policies may name.
 */
export interface ToolAnnotations {
  readonly title?: string;
  readonly readOnlyHint?: boolean;
  readonly destructiveHint?: boolean;
  readonly idempotentHint?: boolean;
  readonly openWorldHint?: boolean;
}

/** A named host capability, described as MCP describes tools. Made by {@link defineTool}, and frozen. */
export interface Tool<Input = unknown> {
  readonly name: string;
  readonly title?: string;
  readonly description: string;
  readonly inputSchema: JsonSchema;
  readonly outputSchema?: JsonSchema;
  readonly annotations?: ToolAnnotations;
  readonly labels?: ToolLabels;
  cost?(input: Input): { readonly [unit: string]: number };
  leaks?(input: Input, context: LeaksContext): Leaks | Promise<Leaks>;
  execute(input: Input, context: ToolContext): unknown;
}

export interface ToolDefinition<S extends JsonSchema | StandardSchema> {
  /** 1 to 64 of `A-Z a-z 0-9 _ . -`, not beginning with `vak.`; its action in a policy is `Action::"call:NAME"`. */
  name: string;
  title?: string;
  description: string;
  /**
   * A JSON Schema whose `type` is `object`, or a {@link StandardSchema}. An object that lists `properties` and does not
   * mention others is closed: an undeclared field is refused, because no policy could see it. Set
   * `additionalProperties: true` to accept undeclared fields, unseen by policies. A string with
   * `format: "http-url"` is put into the one spelling of a URL before anything else sees it (`docs/policy.md`).
   */
  inputSchema: S;
  /** The JSON Schema of an answer; its `type` is `object`. Default: any JSON. */
  outputSchema?: JsonSchema;
  annotations?: ToolAnnotations;
  /** The labels of the data that it returns and accepts, and what it keeps. */
  labels?: ToolLabels;
  /**
   * The most that a call may cost, as a whole number for each unit. That much of each budget that counts the unit is
   * reserved before the policy decides; what `execute` does not charge is returned. Must be quick and have no effect.
   */
  cost?(input: InputOf<S>): { readonly [unit: string]: number };
  /**
   * Finds what should not leave in an input. It is called before the policy decides, and the policy sees the kinds;
   * if it throws, the call is denied. Must have no effect.
   */
  leaks?(input: InputOf<S>, context: LeaksContext): Leaks | Promise<Leaks>;
  /**
   * Does the work, after the policy has allowed the call and the log has recorded it. It returns JSON, or a promise of
   * it; what it throws reaches the guest as an error.
   *
   * @param input frozen, exactly what the policy decided on; with a {@link StandardSchema}, its validated output
   */
  execute(input: InputOf<S>, context: ToolContext): unknown;
}

/** How the input and output of a tool are checked. */
interface Checks {
  readonly input: () => Promise<Check>;
  readonly output: (() => Promise<Check>) | undefined;
  readonly standard: StandardSchema | undefined;
  /** Whether the schema says of a string that it is a URL. */
  readonly urls: boolean;
}

/** By the tools that `defineTool` made: no other object has checks. */
const known = new WeakMap<Tool, Checks>();

/**
 * Defines a capability that guests may ask for.
 *
 * @throws VakError `invalid-tool` saying which part is missing or contradictory
 * @example
 * const add = defineTool({
 *   name: "add",
 *   description: "Adds two integers.",
 *   inputSchema: {
 *     type: "object",
 *     properties: { a: { type: "integer" }, b: { type: "integer" } },
 *     required: ["a", "b"],
 *   },
 *   execute: ({ a, b }) => a + b,
 * });
 */
export function defineTool<const S extends JsonSchema | StandardSchema>(
  definition: ToolDefinition<S>,
): Tool<InputOf<S>> {
  if (!isObject(definition))
    throw invalidTool("A tool is defined by an object: { name, description, inputSchema, execute }.");
  const { name, description, cost, leaks, execute } = definition;
  // Servers that speak MCP may write an absent field as null.
  const title = definition.title ?? undefined;
  const annotations = definition.annotations ?? undefined;
  const labels = definition.labels ?? undefined;
  const output = definition.outputSchema ?? undefined;
  if (typeof name !== "string") throw invalidTool("A tool needs a name, which is a string.");
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(name)) {
    throw invalidTool(`"${clip(name, 80)}" is not a valid name for a tool: use 1 to 64 of A-Z a-z 0-9 _ . -`);
  }
  if (title !== undefined && typeof title !== "string") throw invalidTool(`Tool "${name}": title must be a string.`);
  const hints = annotations === undefined ? undefined : readAnnotations(name, annotations);
  if (labels !== undefined && !isObject(labels)) throw invalidTool(`Tool "${name}": labels must be an object.`);
  if (typeof description !== "string" || description === "") throw invalidTool(`Tool "${name}" needs a description.`);
  if (typeof execute !== "function") throw invalidTool(`Tool "${name}" needs a function execute(input, context).`);

  if (cost !== undefined && typeof cost !== "function")
    throw invalidTool(`Tool "${name}": cost must be a function (input) => ({ unit: amount }).`);
  if (leaks !== undefined && typeof leaks !== "function")
    throw invalidTool(`Tool "${name}": leaks must be a function (input) => ({ kinds: […] }).`);

  const standard = isStandard(definition.inputSchema) ? definition.inputSchema : undefined;
  const given = standard ? toJsonSchema(name, standard) : definition.inputSchema;
  const inputSchema = readSchema(`Tool "${name}", inputSchema`, given);
  const outputSchema = output === undefined ? undefined : readSchema(`Tool "${name}", outputSchema`, output);

  const tool: Tool<InputOf<S>> = deepFreeze({
    name,
    ...(title !== undefined && { title }),
    description,
    inputSchema,
    ...(outputSchema && { outputSchema }),
    ...(hints && { annotations: hints }),
    ...(labels && { labels: readLabels(name, labels) }),
    ...(cost && { cost }),
    ...(leaks && { leaks }),
    execute,
  });
  known.set(tool, {
    input: checkOf(inputSchema),
    output: outputSchema && checkOf(outputSchema),
    standard,
    urls: JSON.stringify(inputSchema).includes('"format":"http-url"'),
  });
  return tool;
}

/** A tool as it is, or one made from an object that has all of a tool's fields, such as `fetchTool` returns. */
export function asTool(tool: Tool): Tool {
  return known.has(tool) ? tool : (defineTool(tool) as Tool);
}

/** The type of each of {@link ToolAnnotations}. Others, which vak does not know, are kept for people to read. */
const ANNOTATIONS = {
  ...{ title: "string", readOnlyHint: "boolean", destructiveHint: "boolean", idempotentHint: "boolean" },
  openWorldHint: "boolean",
};

/**
 * A copy of the annotations, without hints that are null.
 *
 * @throws VakError `invalid-tool`
 */
function readAnnotations(name: string, annotations: ToolAnnotations): ToolAnnotations {
  if (!isObject(annotations)) throw invalidTool(`Tool "${name}": annotations must be an object.`);
  const copy: Record<string, unknown> = { ...annotations };
  for (const [hint, type] of Object.entries(ANNOTATIONS)) {
    const value = copy[hint] ?? undefined;
    if (value === undefined) delete copy[hint];
    else if (typeof value !== type) throw invalidTool(`Tool "${name}": annotations.${hint} must be a ${type}.`);
  }
  return copy;
}

/** @throws VakError `invalid-tool` */
function readLabels(name: string, labels: ToolLabels): ToolLabels {
  const { returns, accepts, keeps, ...rest } = labels;
  const [stray] = Object.keys(rest);
  if (stray !== undefined)
    throw invalidTool(
      `Tool "${name}": labels has no field ${JSON.stringify(stray)}; there are returns, accepts and keeps.`,
    );
  if (keeps !== undefined && (typeof keeps !== "string" || keeps === ""))
    throw invalidTool(`Tool "${name}": labels.keeps must be a string that names what the tool keeps.`);
  try {
    return {
      ...(returns !== undefined && { returns: checkLabels(returns, `what tool "${name}" returns`) }),
      ...(accepts !== undefined && { accepts: checkLabels(accepts, `what tool "${name}" accepts`) }),
      ...(keeps !== undefined && { keeps }),
    };
  } catch (cause) {
    throw new VakError("invalid-tool", errorText(cause), { cause });
  }
}

/** A check against the schema, made on its first use: until then the code that checks is not even loaded. */
function checkOf(schema: JsonSchema): () => Promise<Check> {
  let made: Check | undefined;
  return async () => {
    made ??= (await import("./validator.ts")).makeCheck(schema);
    return made;
  };
}

/** @throws VakError `invalid-tool` when the tool was not made by `defineTool` */
export function checksOf(tool: Tool): Checks {
  const found = known.get(tool);
  if (!found) throw invalidTool("This object is not a tool: make it with defineTool(…).");
  return found;
}

/** @param seen what is frozen by this call already: a value may hold itself, or hold what its owner froze in part */
function deepFreeze<T>(value: T, seen = new Set<unknown>()): T {
  if (typeof value !== "object" || value === null || seen.has(value)) return value;
  seen.add(value);
  Object.freeze(value);
  for (const item of Object.values(value)) deepFreeze(item, seen);
  return value;
}
