/** Reads Cedar text: bounds it, splits it into policies, validates it, and reports errors with line and column. */
import type { createCedar } from "virtual:cedar-glue";
import type { DetailedError, PolicyJson, Schema } from "@cedar-policy/cedar-wasm/web";
import { clip } from "../../base/clip.ts";
import { toUtf8 } from "../../base/utf8.ts";
import { VakError } from "../../errors.ts";
import { strayName } from "./names.ts";
import type { HiddenField, ToolView } from "./view.ts";

/** Bytes of policy text. */
export const MAX_POLICY_BYTES = 256 * 1024;
/**
 * Levels of brackets, and of operators. Cedar recurses on both and has no bound of its own, and an instance that has
 * overflowed its stack cannot be used any longer. Measured with 4.13.0, it takes 119 nested records or a chain of 365
 * terms in Chromium and Firefox, and 74 or 104 in Node, whose stack is smaller.
 */
export const MAX_POLICY_DEPTH = 48;

export type Cedar = Awaited<ReturnType<typeof createCedar>>;
/** One policy of a set. */
export interface Part {
  readonly id: string;
  readonly text: string;
  /** Where it starts in the whole text. */
  readonly start: number;
  readonly json: PolicyJson;
}

/**
 * Reads, bounds and strictly validates a policy.
 *
 * @param hidden fields that the schema leaves out; the message names one that a policy uses
 * @param prefix of the ids of policies without `@id`
 * @returns the policies in the order of the text
 * @throws VakError `invalid-policy` with Cedar's message, the line and the column; also what the instance throws when
 *   it traps, and it cannot be used after that
 */
export function readPolicy(
  cedar: Cedar,
  schema: Schema,
  hidden: readonly HiddenField[],
  text: string,
  prefix = "policy",
): Part[] {
  checkText(text);
  const parts = split(cedar, text, prefix);
  for (const part of parts) {
    if (depthOf(part.json) > MAX_POLICY_DEPTH) {
      const advice = 'Use a set (["a", "b"].contains(x)) or several policies.';
      throw refusedAt(text, part.start, `the policy is more than ${MAX_POLICY_DEPTH} operators deep`, [advice]);
    }
  }
  validate(cedar, schema, hidden, text, parts);
  return parts;
}

/** @throws VakError `invalid-policy` if a policy uses a name that means nothing, where Cedar accepts it */
export function refuseStrayNames(text: string, parts: readonly Part[], views: ReadonlyMap<string, ToolView>): void {
  for (const part of parts) {
    const stray = strayName(part.json, views);
    if (stray) throw refusedAt(text, part.start, stray);
  }
}

function checkText(text: string): void {
  if (typeof text !== "string")
    throw new VakError("invalid-policy", "The policy is not text; give Cedar text as a string.");
  const bytes = toUtf8(text).length;
  if (bytes > MAX_POLICY_BYTES) {
    throw new VakError(
      "invalid-policy",
      `The policy has ${bytes} bytes; the limit is ${MAX_POLICY_BYTES}. Shorten it.`,
    );
  }
  if (!text.isWellFormed()) throw new VakError("invalid-policy", "The policy contains a lone surrogate; remove it.");
  let depth = 0;
  for (const { 0: bracket, index } of blankQuotes(text).matchAll(/[([{]|[)\]}]/g)) {
    depth += "([{".includes(bracket) ? 1 : -1;
    if (depth > MAX_POLICY_DEPTH) {
      throw refusedAt(text, index, `brackets are nested more than ${MAX_POLICY_DEPTH} deep`);
    }
  }
}

/** Splits a policy set into its policies, each with its id: `@id("…")` where there is one, else by its position. */
function split(cedar: Cedar, text: string, prefix: string): Part[] {
  const answer = cedar.policySetTextToParts(text);
  if (answer.type !== "success") throw refusedBy(text, 0, answer.errors);
  const [template] = answer.policy_templates;
  if (template !== undefined) {
    const message = "a template (`?principal`, `?resource`) is not a policy; write the entity itself";
    throw refusedAt(text, text.indexOf(template), message);
  }
  // Cedar names them policy0, policy1, … and returns them sorted by name as text: policy10 before policy2.
  const names = answer.policies.map((_, index) => `policy${index}`);
  const byName = new Map(names.toSorted().map((name, index) => [name, answer.policies[index]!]));

  const code = blankQuotes(text, "comments");
  const ids = new Set<string>();
  let end = 0;
  return names.map((name, index) => {
    const policy = byName.get(name)!;
    const start = Math.max(code.indexOf(blankQuotes(policy, "comments"), end), end);
    end = start + policy.length;
    const read = cedar.policyToJson(policy);
    if (read.type !== "success") throw refusedBy(text, start, read.errors);
    const annotations = read.json.annotations ?? {};
    const id = Object.hasOwn(annotations, "id") ? String(annotations.id ?? "") : `${prefix}${index}`;
    if (!/^[^\p{C}]{1,128}$/u.test(id)) throw refusedAt(text, start, "an @id must have 1 to 128 printable characters");
    if (ids.has(id)) throw refusedAt(text, start, `another policy has the id "${id}"; rename one`);
    ids.add(id);
    return { id, text: policy, start, json: read.json };
  });
}

/** Levels of operators in the deepest condition; each condition adds one, because Cedar joins them with `&&`. */
function depthOf({ conditions }: PolicyJson): number {
  let deepest = 0;
  const todo: [unknown, number][] = conditions.map((condition) => [condition.body, 0]);
  for (let next = todo.pop(); next; next = todo.pop()) {
    const [node, level] = next;
    if (typeof node !== "object" || node === null) continue;
    deepest = Math.max(deepest, level);
    for (const child of Object.values(node)) todo.push([child, level + 1]);
  }
  // An operator takes two levels of Cedar's JSON: its name, and its operands.
  return Math.ceil(deepest / 2) + conditions.length;
}

/** Strict validation against the tools' schema. Warnings are ignored. */
function validate(
  cedar: Cedar,
  schema: Schema,
  hidden: readonly HiddenField[],
  text: string,
  parts: readonly Part[],
): void {
  const answer = cedar.validate({
    schema,
    policies: { staticPolicies: Object.fromEntries(parts.map((part) => [part.id, part.text])) },
    validationSettings: { mode: "strict" },
  });
  if (answer.type !== "success") throw refusedBy(text, 0, answer.errors);
  const [first] = answer.validationErrors;
  if (!first) return;
  const start = parts.find((part) => part.id === first.policyId)?.start ?? 0;
  const errors = answer.validationErrors.map(({ error }) => error);
  const meant = hidden.filter(({ path }) => first.error.message.includes(`\`${path}\``));
  const notes = meant.map(({ path, why }) => `Policies cannot see ${path}: ${why}.`);
  throw refusedBy(text, start, errors, notes);
}

/** Blanks out comments (and strings); every other character stays where it is. */
function blankQuotes(text: string, only?: "comments"): string {
  return text.replace(/\/\/[^\n\r]*|"(?:[^"\\]|\\.)*"/gs, (found) =>
    only && found.startsWith('"') ? found : " ".repeat(found.length),
  );
}

/** @param offset of the policy to which Cedar's positions are relative */
function refusedBy(text: string, offset: number, errors: readonly DetailedError[], notes: string[] = []): VakError {
  const [first] = errors;
  if (!first) return new VakError("invalid-policy", "Cedar refused the policy without a message.");
  const byte = first.sourceLocations?.[0]?.start;
  const index = byte === undefined ? undefined : offset + charactersIn(text.slice(offset), byte);
  const more = errors.length > 1 ? [`There are ${errors.length - 1} more errors.`] : [];
  return refusedAt(text, index, messageOf(first), [...notes, ...more]);
}

/** Cedar counts in bytes of UTF-8. */
function charactersIn(text: string, bytes: number): number {
  return new TextDecoder().decode(toUtf8(text).subarray(0, bytes)).length;
}

export function refusedAt(
  text: string,
  index: number | undefined,
  message: string,
  notes: readonly string[] = [],
): VakError {
  if (index === undefined) return new VakError("invalid-policy", `The policy is refused: ${message}`);
  const before = text.slice(0, index).split(/\r\n|[\n\r]/);
  const line = text.split(/\r\n|[\n\r]/)[before.length - 1] ?? "";
  const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
  return new VakError(
    "invalid-policy",
    [`The policy is refused at ${where}: ${message}`, `    ${clip(line.trim(), 200)}`, ...notes].join("\n"),
  );
}

/** An error's message, with Cedar's advice if there is some. */
export function messageOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("message" in error)) return String(error);
  const help = "help" in error && error.help ? ` (${error.help})` : "";
  return `${error.message}${help}`;
}
