import type { createCedar } from "virtual:cedar-glue";
import type { DetailedError, PolicyJson, Schema } from "@cedar-policy/cedar-wasm/web";
import { toUtf8 } from "../../base/utf8.ts";
import { VakError } from "../../errors.ts";
import { strayName } from "./names.ts";
import type { HiddenField, ToolView } from "./view.ts";

/** Bytes of policy text. */
export const MAX_POLICY_BYTES = 256 * 1024;
/**
 * Brackets within brackets, and operators above operators. Cedar recurses on both and has no bound of its own; an
 * instance that has overflowed its stack is of no more use. Measured with 4.13.0: 119 nested records or 365 terms of a
 * chain in Chromium and Firefox, 74 and 104 in Node, whose stack is the smaller.
 */
export const MAX_POLICY_DEPTH = 48;

export type Cedar = Awaited<ReturnType<typeof createCedar>>;
/** One policy of a set, and where in the whole text it starts. */
export interface Part {
  readonly id: string;
  readonly text: string;
  readonly start: number;
  readonly json: PolicyJson;
}

/**
 * Reads, bounds and strictly validates a policy.
 *
 * @param hidden what the schema leaves out, named in the message when a policy asks for it
 * @param prefix of the ids of policies that have no `@id`
 * @returns the policies in the order of the text
 * @throws VakError `invalid-policy` with Cedar's message, the line and the column; whatever the instance throws when it
 *   traps, after which it is of no more use
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

/** @throws VakError `invalid-policy` when a policy names what there is not, where Cedar would let it */
export function refuseStrayNames(text: string, parts: readonly Part[], views: ReadonlyMap<string, ToolView>): void {
  for (const part of parts) {
    const stray = strayName(part.json, views);
    if (stray) throw refusedAt(text, part.start, stray);
  }
}

function checkText(text: string): void {
  if (typeof text !== "string") throw new VakError("invalid-policy", "A policy is Cedar text: give a string.");
  const bytes = toUtf8(text).length;
  if (bytes > MAX_POLICY_BYTES) {
    throw new VakError("invalid-policy", `The policy has ${bytes} bytes; at most ${MAX_POLICY_BYTES} are read.`);
  }
  if (!text.isWellFormed()) throw new VakError("invalid-policy", "The policy has half of a surrogate pair in it.");
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
  // Cedar names them policy0, policy1, … and returns them sorted by that name as text: policy10 before policy2.
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
    if (!/^[^\p{C}]{1,128}$/u.test(id)) throw refusedAt(text, start, "an @id has 1 to 128 printable characters");
    if (ids.has(id)) throw refusedAt(text, start, `another policy has the id "${id}"; rename one`);
    ids.add(id);
    return { id, text: policy, start, json: read.json };
  });
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
  return refusedAt(text, index, messageOf(first), [...notes, ...more]);
}

/** Cedar counts bytes of UTF-8. */
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
    [`The policy is refused at ${where}: ${message}`, `    ${line.trim().slice(0, 200)}`, ...notes].join("\n"),
  );
}

/** An error's message, with Cedar's advice where it gives some. */
export function messageOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("message" in error)) return String(error);
  const help = "help" in error && error.help ? ` (${error.help})` : "";
  return `${error.message}${help}`;
}
