import type { createCedar } from "virtual:cedar-glue";
import type { DetailedError, PolicyJson, Schema } from "@cedar-policy/cedar-wasm/web";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { VakError } from "../errors.ts";
import type { HiddenField } from "./schema.ts";

/** Bytes of policy text. */
export const MAX_POLICY_BYTES = 256 * 1024;
/**
 * Brackets within brackets, and operators above operators. Cedar recurses on both and has no bound of its own: its
 * parser overflows the stack near 75 brackets in V8, its evaluator near 105 operators, and an instance that has
 * overflowed answers nothing more.
 */
export const MAX_POLICY_DEPTH = 48;

export type Cedar = Awaited<ReturnType<typeof createCedar>>;
/** The text of each policy by its id, in the order of the source. */
export type PolicyTexts = ReadonlyMap<string, string>;

/**
 * Reads, bounds and strictly validates a policy.
 *
 * @param hidden what the schema leaves out, named in the message when a policy asks for it
 * @throws VakError `invalid-policy` with Cedar's message, the line and the column; whatever the instance throws when it
 *   traps, after which it is of no more use
 */
export function readPolicy(cedar: Cedar, schema: Schema, hidden: readonly HiddenField[], text: string): PolicyTexts {
  checkText(text);
  const texts = split(cedar, text);
  validate(cedar, schema, hidden, text, texts);
  return texts;
}

function checkText(text: string): void {
  if (typeof text !== "string") throw new VakError("invalid-policy", "A policy is Cedar text: give a string.");
  const bytes = utf8ToBytes(text).length;
  if (bytes > MAX_POLICY_BYTES) {
    throw new VakError("invalid-policy", `The policy has ${bytes} bytes; at most ${MAX_POLICY_BYTES} are read.`);
  }
  if (!text.isWellFormed()) throw new VakError("invalid-policy", "The policy has half of a surrogate pair in it.");
  let depth = 0;
  for (const { 0: bracket, index } of blankQuotes(text).matchAll(/[([{]|[)\]}]/g)) {
    depth += "([{".includes(bracket) ? 1 : -1;
    if (depth > MAX_POLICY_DEPTH) {
      throw refused(text, index, `brackets are nested more than ${MAX_POLICY_DEPTH} deep`);
    }
  }
}

/** Splits a policy set into its policies by id: `@id("…")` where there is one, else `policyN` by position. */
function split(cedar: Cedar, text: string): PolicyTexts {
  const parts = cedar.policySetTextToParts(text);
  if (parts.type !== "success") throw refusedBy(text, 0, parts.errors);
  if (parts.policy_templates.length > 0) {
    const index = text.indexOf(parts.policy_templates[0]!);
    throw refused(text, index, "a template (`?principal`, `?resource`) is not a policy; write the entity itself");
  }
  // Cedar names them policy0, policy1, … and returns them sorted by that name as text: policy10 before policy2.
  const names = parts.policies.map((_, index) => `policy${index}`).sort();
  const texts = new Map<string, string>();
  for (const index of names.keys()) {
    const position = names.indexOf(`policy${index}`);
    const policy = parts.policies[position]!;
    const json = cedar.policyToJson(policy);
    if (json.type !== "success") throw refusedBy(text, 0, json.errors);
    const id = json.json.annotations?.id ?? `policy${index}`;
    if (!/^[^\p{C}]{1,128}$/u.test(id)) {
      throw new VakError("invalid-policy", `@id(${JSON.stringify(id)}) is not 1 to 128 printable characters.`);
    }
    if (texts.has(id)) throw new VakError("invalid-policy", `Two policies have the id "${id}"; rename one.`);
    if (depthOf(json.json) > MAX_POLICY_DEPTH) {
      throw new VakError(
        "invalid-policy",
        `Policy "${id}" is more than ${MAX_POLICY_DEPTH} operators deep. Use a set (["a", "b"].contains(x)) or several policies.`,
      );
    }
    texts.set(id, policy);
  }
  return texts;
}

/** Operators above one another in the deepest condition; conditions are joined by `&&` and so add to it. */
function depthOf({ conditions }: PolicyJson): number {
  let deepest = 0;
  const todo: [unknown, number][] = conditions.map((condition) => [condition.body, 0]);
  for (let next = todo.pop(); next; next = todo.pop()) {
    const [node, level] = next;
    if (typeof node !== "object" || node === null) continue;
    deepest = Math.max(deepest, level);
    for (const child of Object.values(node)) todo.push([child, level + 1]);
  }
  // An operator is two levels of Cedar's JSON: its name, then its operands.
  return Math.ceil(deepest / 2) + conditions.length;
}

/** Strict validation against the tools' schema. Warnings do not refuse. */
function validate(
  cedar: Cedar,
  schema: Schema,
  hidden: readonly HiddenField[],
  text: string,
  texts: PolicyTexts,
): void {
  const answer = cedar.validate({
    schema,
    policies: { staticPolicies: Object.fromEntries(texts) },
    validationSettings: { mode: "strict" },
  });
  if (answer.type !== "success") throw refusedBy(text, 0, answer.errors);
  const [first] = answer.validationErrors;
  if (!first) return;
  throw refusedBy(
    text,
    locate(text, texts, first.policyId),
    answer.validationErrors.map(({ error }) => error),
    hidden.filter(({ path }) => first.error.message.includes(`\`${path}\``)).map(({ path, why }) => `${path}: ${why}`),
  );
}

/** Where in the whole text a policy starts; policies are found in order so that equal ones are told apart. */
function locate(text: string, texts: PolicyTexts, wanted: string): number {
  const code = blankQuotes(text, "comments");
  let at = 0;
  for (const [id, policy] of texts) {
    const start = code.indexOf(blankQuotes(policy, "comments"), at);
    if (start < 0 || id === wanted) return Math.max(start, 0);
    at = start + policy.length;
  }
  return 0;
}

/** The text with comments (and strings) blanked out, every other character where it was. */
function blankQuotes(text: string, only?: "comments"): string {
  return text.replace(/\/\/[^\n\r]*|"(?:[^"\\]|\\.)*"/gs, (found) =>
    only && found.startsWith('"') ? found : " ".repeat(found.length),
  );
}

/** @param offset of the policy that Cedar's positions are relative to */
function refusedBy(text: string, offset: number, errors: readonly DetailedError[], notes: string[] = []): VakError {
  const [first] = errors;
  if (!first) return new VakError("invalid-policy", "Cedar refused the policy without saying why.");
  const byte = first.sourceLocations?.[0]?.start;
  const index = byte === undefined ? undefined : offset + charactersIn(text.slice(offset), byte);
  const more = errors.length > 1 ? [`${errors.length - 1} more like it.`] : [];
  return refused(text, index, messageOf(first), [...notes, ...more]);
}

/** Cedar counts bytes of UTF-8. */
function charactersIn(text: string, bytes: number): number {
  return new TextDecoder().decode(utf8ToBytes(text).subarray(0, bytes)).length;
}

function refused(text: string, index: number | undefined, message: string, notes: readonly string[] = []): VakError {
  if (index === undefined) return new VakError("invalid-policy", `The policy is refused: ${message}`);
  const before = text.slice(0, index).split(/\r\n|[\n\r]/);
  const line = text.split(/\r\n|[\n\r]/)[before.length - 1] ?? "";
  const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
  return new VakError(
    "invalid-policy",
    [`The policy is refused at ${where}: ${message}`, `    ${line.trim().slice(0, 200)}`, ...notes].join("\n"),
  );
}

/** An error's message, with Cedar's advice where it gives some. */
export function messageOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("message" in error)) return String(error);
  const help = "help" in error && error.help ? ` (${error.help})` : "";
  return `${error.message}${help}`;
}
