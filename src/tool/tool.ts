import type { dereference, OutputUnit, Schema, validate } from "@cfworker/json-schema";
import { isObject } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import { invalidTool as invalid, type JsonSchema, onlyKnownKeywords, RESERVED, readSchema } from "./schema.ts";

export type { JsonSchema };

/**
 * A schema made by a library (Zod 4.2, ArkType 2.1.28, Valibot with `@valibot/to-json-schema`, …) that implements both
 * Standard Schema and Standard JSON Schema (https://standardschema.dev): it validates, and it says what it is in JSON
 * Schema, which is what guests, policies and the log see.
 */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    readonly jsonSchema?: { readonly input: (options: { target: "draft-2020-12" }) => JsonSchema };
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] };

/** What a tool is told besides its input. */
export interface ToolContext {
  /** Fires when the run ends, is stopped or is aborted: give up what can be given up. */
  readonly signal: AbortSignal;
  /** The call's number within its run, from 1, as the log has it. */
  readonly call: number;
  /** Who calls. */
  readonly agent: { readonly id: string; readonly name: string; readonly program: string };
  /** The run it calls from, as the log names it. */
  readonly run: string;
  /**
   * Notes what the call costs in a unit of yours that a budget counts; the sum of all charges stands in the place of what
   * `cost` said. A whole number.
   */
  charge(unit: string, amount: number): void;
  /** What the agent had read when the call was decided; so what the input may come from. */
  readonly labels: readonly string[];
  /**
   * Says that the answer, or the error, is labelled so, besides what the tool `returns`: with the labels of an agent whose
   * output it passes on, say. Until the tool has answered.
   */
  label(labels: readonly string[]): void;
}

/** What was found in an input that should not leave. */
export interface Leaks {
  /** Kinds of it, in a word each: `context.vak.leaks` in a policy, and in the log. At most 32. */
  readonly kinds: readonly string[];
  /** The input with all of it taken out; absent where that cannot be done. */
  readonly redacted?: unknown;
}

/** What a tool is told when it looks for leaks. */
export type LeaksContext = Pick<ToolContext, "signal" | "call" | "agent" | "run">;

/** What data a tool gives and takes. */
export interface ToolLabels {
  /** Labels of whatever it answers, errors too. They are the agent's before the guest has the answer. */
  readonly returns?: readonly string[];
  /** An agent with any other label than these may not call it. All are accepted unless given; with `[]` none is. */
  readonly accepts?: readonly string[];
  /**
   * Names what it keeps between calls, such as a mailbox or a table. Whatever comes out of a tool that keeps it has the
   * labels of every agent that was let to call one.
   */
  readonly keeps?: string;
}

/**
 * MCP's hints: what a tool says of itself. They inform people, and place the tool's action in groups that policies may
 * speak of; see {@link groupsOf}.
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
   * A JSON Schema whose `type` is `object`, or a {@link StandardSchema}. An object that lists `properties` and says
   * nothing of others is closed: an undeclared field is refused, because no policy could see it. Say
   * `additionalProperties: true` to let undeclared fields through, unseen by policies. A string with
   * `format: "http-url"` is put into the one spelling of a URL before anything else sees it (`docs/policy.md`).
   */
  inputSchema: S;
  /** What an answer must be, as JSON Schema. */
  outputSchema?: JsonSchema;
  annotations?: ToolAnnotations;
  /** What data it gives and takes, and what it keeps. */
  labels?: ToolLabels;
  /**
   * What a call may cost at most, by unit: whole numbers. So much is set aside of each budget that counts the unit,
   * before the policy decides, and given back as far as `execute` charges less. It must be quick, and do nothing.
   */
  cost?(input: InputOf<S>): { readonly [unit: string]: number };
  /**
   * Finds in an input what should not leave. It is asked before the policy decides, which sees the kinds; where it throws,
   * the call is denied. It must do nothing.
   */
  leaks?(input: InputOf<S>, context: LeaksContext): Leaks | Promise<Leaks>;
  /**
   * Does it. Called only after the policy allowed the call and the log has it. The answer, or what its promise resolves
   * to, must be JSON; what it throws reaches the guest as an error.
   *
   * @param input frozen, exactly what the policy decided on; with a {@link StandardSchema}, what that made of it
   */
  execute(input: InputOf<S>, context: ToolContext): unknown;
}

/** The type of the values that a JSON Schema literal describes; `unknown` where it does not say. */
export type FromSchema<S> = S extends { readonly const: infer C }
  ? C
  : S extends { readonly enum: readonly (infer E)[] }
    ? E
    : S extends { readonly type: "string" }
      ? string
      : S extends { readonly type: "number" | "integer" }
        ? number
        : S extends { readonly type: "boolean" }
          ? boolean
          : S extends { readonly type: "array" }
            ? readonly (S extends { readonly items: infer I } ? FromSchema<I> : unknown)[]
            : S extends { readonly type: "object"; readonly properties: infer P }
              ? FromProperties<P, S extends { readonly required: readonly (infer R)[] } ? R : never>
              : S extends { readonly type: "object" }
                ? { readonly [field: string]: unknown }
                : unknown;

type FromProperties<P, R> = Flat<
  { readonly [K in keyof P as K extends R ? K : never]: FromSchema<P[K]> } & {
    readonly [K in keyof P as K extends R ? never : K]?: FromSchema<P[K]>;
  }
>;
type Flat<T> = { [K in keyof T]: T[K] };

/** The type of a tool's input, from its schema. */
export type InputOf<S> = S extends StandardSchema<infer Output> ? Output : FromSchema<S>;

/** A guest's input after {@link parseInput}. */
export type ParsedInput =
  | {
      readonly ok: true;
      /** A frozen copy of the guest's JSON, with no prototypes and with URLs in one spelling: what is decided on and logged. */
      readonly input: { readonly [field: string]: unknown };
      /** What `execute` gets: `input`, or what the Standard Schema made of it. */
      readonly argument: unknown;
    }
  | { readonly ok: false; readonly message: string };

/** Levels of a guest's input, and values in it; checking and deciding on more would hold up the page. */
const MAX_INPUT_DEPTH = 64;
const MAX_INPUT_VALUES = 16_384;
/** Characters of a message to a guest. */
const MAX_MESSAGE = 300;

/** `$ref`s followed in one check. Alternatives that refer back to themselves can take exponentially many. */
const MAX_REFS = 4 * MAX_INPUT_VALUES;

interface Validator {
  readonly schema: Schema;
  readonly lookup: ReturnType<typeof dereference>;
  readonly validate: typeof validate;
}

interface Checks {
  readonly input: () => Promise<Validator>;
  readonly output: (() => Promise<Validator>) | undefined;
  readonly standard: StandardSchema | undefined;
  /** Whether the schema says of a string that it is a URL. */
  readonly urls: boolean;
}

const checksOf = new WeakMap<Tool, Checks>();

/**
 * Describes a capability that guests may ask for.
 *
 * @throws VakError `invalid-tool` saying which part is missing or contradictory
 * @example
 * const add = defineTool({
 *   name: "add",
 *   description: "Adds two integers.",
 *   inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a", "b"] },
 *   execute: ({ a, b }) => a + b,
 * });
 */
export function defineTool<const S extends JsonSchema | StandardSchema>(
  definition: ToolDefinition<S>,
): Tool<InputOf<S>> {
  if (!isObject(definition))
    throw invalid("A tool is defined by an object: { name, description, inputSchema, execute }.");
  const { name, title, description, annotations, labels, cost, leaks, execute } = definition;
  if (typeof name !== "string") throw invalid("A tool needs a name, which is a string.");
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(name)) {
    throw invalid(`"${name.slice(0, 80)}" is not a valid name for a tool: use 1 to 64 of A-Z a-z 0-9 _ . -`);
  }
  if (title !== undefined && typeof title !== "string") throw invalid(`Tool "${name}": title must be a string.`);
  if (annotations !== undefined) checkAnnotations(name, annotations);
  if (labels !== undefined && !isObject(labels)) throw invalid(`Tool "${name}": labels must be an object.`);
  if (typeof description !== "string" || description === "") throw invalid(`Tool "${name}" needs a description.`);
  if (typeof execute !== "function") throw invalid(`Tool "${name}" needs a function execute(input, context).`);

  if (cost !== undefined && typeof cost !== "function")
    throw invalid(`Tool "${name}": cost is a function (input) => ({ unit: amount }).`);
  if (leaks !== undefined && typeof leaks !== "function")
    throw invalid(`Tool "${name}": leaks is a function (input) => ({ kinds: […] }).`);

  const standard = isStandard(definition.inputSchema) ? definition.inputSchema : undefined;
  const given = standard ? describe(name, standard) : definition.inputSchema;
  const inputSchema = readSchema(`Tool "${name}", inputSchema`, given);
  const outputSchema =
    definition.outputSchema === undefined
      ? undefined
      : readSchema(`Tool "${name}", outputSchema`, definition.outputSchema);

  const tool: Tool<InputOf<S>> = deepFreeze({
    name,
    ...(title !== undefined && { title }),
    description,
    inputSchema,
    ...(outputSchema && { outputSchema }),
    ...(annotations && { annotations: { ...annotations } }),
    ...(labels && { labels: readLabels(name, labels) }),
    ...(cost && { cost }),
    ...(leaks && { leaks }),
    execute,
  });
  checksOf.set(tool, {
    input: validator(inputSchema),
    output: outputSchema && validator(outputSchema),
    standard,
    urls: JSON.stringify(inputSchema).includes('"format":"http-url"'),
  });
  return tool;
}

/** A tool as it is, or made of an object that has all that a tool has, as `fetchTool` gives. */
export function asTool(tool: Tool): Tool {
  return checksOf.has(tool) ? tool : (defineTool(tool) as Tool);
}

/** What {@link ToolAnnotations} are made of. Others, which vak does not know, are kept for people to read. */
const ANNOTATIONS = {
  ...{ title: "string", readOnlyHint: "boolean", destructiveHint: "boolean", idempotentHint: "boolean" },
  openWorldHint: "boolean",
};

/** @throws VakError `invalid-tool` */
function checkAnnotations(name: string, annotations: ToolAnnotations): void {
  if (!isObject(annotations)) throw invalid(`Tool "${name}": annotations must be an object.`);
  for (const [hint, type] of Object.entries(ANNOTATIONS)) {
    const value = annotations[hint];
    if (value !== undefined && typeof value !== type) {
      throw invalid(`Tool "${name}": annotations.${hint} must be a ${type}.`);
    }
  }
}

/** @throws VakError `invalid-tool` */
function readLabels(name: string, labels: ToolLabels): ToolLabels {
  const { returns, accepts, keeps, ...rest } = labels;
  const [stray] = Object.keys(rest);
  if (stray !== undefined) throw invalid(`Tool "${name}": labels has no ${JSON.stringify(stray)}.`);
  if (keeps !== undefined && (typeof keeps !== "string" || keeps === ""))
    throw invalid(`Tool "${name}": labels.keeps names what the tool keeps.`);
  try {
    return {
      ...(returns !== undefined && { returns: checkLabels(returns, `what tool "${name}" returns`) }),
      ...(accepts !== undefined && { accepts: checkLabels(accepts, `what tool "${name}" accepts`) }),
      ...(keeps !== undefined && { keeps }),
    };
  } catch (cause) {
    throw new VakError("invalid-tool", (cause as Error).message, { cause });
  }
}

/**
 * The groups of a tool's action, with MCP's own defaults: who says nothing is `destructive`, and reaches the `network`.
 */
export function groupsOf({ readOnlyHint, destructiveHint, openWorldHint }: ToolAnnotations = {}): string[] {
  const destructive = readOnlyHint !== true && destructiveHint !== false;
  return [...(destructive ? ["destructive"] : []), ...(openWorldHint !== false ? ["network"] : [])];
}

/** A tool as policies see it. */
export function describeToPolicy(tool: Tool) {
  const { name, inputSchema, annotations, labels, leaks } = tool;
  return {
    ...{ name, inputSchema, groups: groupsOf(annotations) },
    ...(leaks && { leaks: true }),
    ...(labels?.accepts && { accepts: labels.accepts }),
    read: (input: unknown) => readInput(tool, input),
  };
}

/**
 * Checks what a guest sent before anything else sees it: plain JSON, at most 64 levels and 16,384 values, whole numbers
 * that JavaScript holds exactly, whole characters, no reserved keys, valid under the tool's schema. URLs get their one
 * spelling first, so that the schema is about what they are then.
 *
 * @throws VakError `invalid-tool` when the tool was not made by `defineTool`
 */
export async function parseInput(tool: Tool, value: unknown): Promise<ParsedInput> {
  const { input: validator, standard, urls } = checks(tool);
  try {
    let input = copyJson(value, "input", 0, { left: MAX_INPUT_VALUES }) as { readonly [field: string]: unknown };
    if (urls) input = (await import("./secrets.ts")).withNormalUrls(tool.inputSchema, input) as typeof input;
    check(await validator(), input, "input");
    if (!standard) return { ok: true, input, argument: input };
    const result = await standard["~standard"].validate(input);
    if (result.issues) throw new Error(`input: ${result.issues[0]?.message ?? "not valid"}`);
    return { ok: true, input, argument: result.value };
  } catch (error) {
    return { ok: false, message: (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE) };
  }
}

const MAX_KINDS = 32;
const KIND = /^[a-z0-9][a-z0-9-]{0,31}$/;

/**
 * What a tool finds in an input that should not leave.
 *
 * @throws Error when it does not say: then nothing may leave
 */
export async function leaksIn(tool: Tool, argument: unknown, context: LeaksContext): Promise<Leaks> {
  const { agent, run, call, signal } = context;
  const { kinds, redacted } = (await tool.leaks?.(argument, { agent: { ...agent }, run, call, signal })) ?? {};
  if (!Array.isArray(kinds) || kinds.length > MAX_KINDS || !kinds.every((kind) => KIND.test(kind))) {
    throw new Error("the tool did not say what there is in the input");
  }
  return { kinds: [...new Set(kinds)].sort(), ...(redacted !== undefined && { redacted }) };
}

/**
 * Reads the input of a call that nobody makes, as {@link parseInput} does, with the kinds of leaks that there would be.
 *
 * @throws whatever the tool does when it looks for them
 */
export async function readInput(tool: Tool, value: unknown): Promise<ParsedInput & { leaks?: readonly string[] }> {
  const parsed = await parseInput(tool, value);
  if (!parsed.ok || !tool.leaks) return parsed;
  const nobody = { agent: { id: "", name: "", program: "" }, run: "", call: 1, signal: new AbortController().signal };
  return { ...parsed, leaks: (await leaksIn(tool, parsed.argument, nobody)).kinds };
}

/**
 * Checks a tool's answer, as JSON, against its `outputSchema`.
 *
 * @returns what is wrong with it, or undefined when it is valid or the tool has no `outputSchema`
 * @throws VakError `invalid-tool` when the tool was not made by `defineTool`
 */
export async function checkOutput(tool: Tool, value: unknown): Promise<string | undefined> {
  const { output } = checks(tool);
  if (!output) return undefined;
  try {
    check(await output(), value, "output");
    return undefined;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE);
  }
}

function checks(tool: Tool): Checks {
  const found = checksOf.get(tool);
  if (!found) throw invalid("A tool is made by defineTool(…); this object was not.");
  return found;
}

/** @throws Error naming the first thing that is wrong */
function check({ schema, lookup, validate }: Validator, value: unknown, name: string): void {
  let left = MAX_REFS;
  const counted = new Proxy(lookup, {
    get(target, uri: string) {
      if (--left < 0) throw new Error(`${name} takes too long to check against the schema`);
      return target[uri];
    },
  });
  const { valid, errors } = validate(value, schema, "2020-12", counted);
  if (valid) return;
  const wrappers = ["properties", "patternProperties", "additionalProperties", "items", "prefixItems"];
  wrappers.push("$ref", "allOf", "if");
  const first = errors.find((error) => !wrappers.includes(error.keyword)) ?? errors[0];
  if (!first) throw new Error(`${name} is not valid`);
  throw new Error(`${pathOf(first, name)}: ${ERRORS[first.keyword] ?? first.error}`);
}

/** What the library says in words that say little. */
const ERRORS: Readonly<Record<string, string>> = { false: "no such field", anyOf: "is none of what the tool takes" };

function pathOf({ instanceLocation }: OutputUnit, name: string): string {
  const fields = instanceLocation.split("/").slice(1);
  return [
    name,
    ...fields.map((field) => decodeURI(field).replaceAll("~1", "/").replaceAll("~0", "~").slice(0, 64)),
  ].join(".");
}

/** A frozen copy without prototypes, so that what is checked, decided on, logged and executed is one unchanging value. */
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
        const at = `${path}.${key.slice(0, 64)}`;
        if (RESERVED.has(key)) throw new Error(`${at}: the name is reserved`);
        if (!key.isWellFormed()) throw new Error(`${path} has a field with half of a surrogate pair in its name`);
        copy[key] = copyJson(item, at, depth + 1, budget);
      }
      return Object.freeze(copy);
    }
  }
  throw new Error(`${path} is not JSON`);
}

/** A validator of the schema, made on its first use: until then the library that validates is not even loaded. */
function validator(schema: JsonSchema): () => Promise<Validator> {
  let made: Validator | undefined;
  return async () => {
    if (made) return made;
    const { dereference, validate } = await import("@cfworker/json-schema");
    const copy = structuredClone(onlyKnownKeywords(schema)) as Schema; // the library marks the schema it reads
    delete copy.$id; // `#/…` means the same without
    boundUniqueItems(copy);
    made = { schema: copy, lookup: dereference(copy), validate };
    return made;
  };
}

/** Has the pairs compared only of a list that is short enough; a longer one `maxItems` refuses, which runs beside it. */
function boundUniqueItems(schema: unknown): void {
  if (typeof schema !== "object" || schema === null) return;
  for (const child of Object.values(schema)) boundUniqueItems(child);
  const { uniqueItems, maxItems, allOf } = schema as Schema;
  if (uniqueItems !== true || typeof maxItems !== "number") return;
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  const unique = { if: { type: "array", maxItems }, then: { uniqueItems } };
  Object.assign(schema, { uniqueItems: false, allOf: [...(allOf ?? []), unique] });
}

function isStandard(schema: unknown): schema is StandardSchema {
  return (typeof schema === "object" || typeof schema === "function") && schema !== null && "~standard" in schema;
}

/** @throws VakError `invalid-tool` */
function checkStandard(name: string, schema: StandardSchema): void {
  const { validate, vendor } = (schema["~standard"] ?? {}) as Partial<StandardSchema["~standard"]>;
  if (typeof validate !== "function" || typeof vendor !== "string") {
    throw invalid(
      `Tool "${name}", inputSchema: "~standard" needs a function validate and a string vendor, as Standard Schema says.`,
    );
  }
}

function describe(name: string, schema: StandardSchema): JsonSchema {
  checkStandard(name, schema);
  const convert = schema["~standard"].jsonSchema;
  if (!convert) {
    throw invalid(
      `Tool "${name}": its schema (${schema["~standard"].vendor}) cannot say what it is in JSON Schema. ` +
        "Use a library that implements Standard JSON Schema, or write inputSchema as JSON Schema.",
    );
  }
  try {
    return convert.input({ target: "draft-2020-12" });
  } catch (cause) {
    throw invalid(`Tool "${name}": its schema cannot be written as JSON Schema.`, cause);
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const item of Object.values(value)) deepFreeze(item);
  return Object.freeze(value);
}
