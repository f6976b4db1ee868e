import { canonicalJson } from "../base/canonical.ts";
import { isObject } from "../base/guards.ts";
import { sha256Hex } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { Decision, PolicyBundle, PolicyEntity, PolicyRequest, PolicySource, PolicyTest } from "./engine.ts";

/** A policy source after it was read: what is in it, and the one text that stands for all of it. */
export interface ReadSource {
  /** What is hashed and kept: the Cedar text as it was given, or the bundle in canonical JSON. */
  text: string;
  digest: string;
  policies: string;
  schema: string | { readonly [namespace: string]: unknown } | undefined;
  entities: readonly PolicyEntity[];
  tests: readonly PolicyTest[];
}

/** Bytes of a bundle in canonical JSON. */
export const MAX_BUNDLE_BYTES = 1024 * 1024;
export const MAX_ENTITIES = 1000;
export const MAX_TESTS = 1000;

const FIELDS = ["policies", "schema", "entities", "tests"];
const TEST_FIELDS = ["name", "tool", "input", "agent", "vak", "expect", "by"];
const EXPECTED: readonly Decision["decision"][] = ["allow", "deny", "ask"];
/** Failing tests that a refusal names. */
const MAX_FAILURES = 10;

const NOON = Date.UTC(2026, 0, 1, 12);

/**
 * Reads Cedar text or a bundle. A bundle is copied: what its owner does with it later changes nothing.
 *
 * @throws VakError `invalid-policy` when it is neither
 */
export function readSource(source: PolicySource): ReadSource {
  if (typeof source === "string") return read({ policies: source }, source);
  let text: string;
  let bundle: PolicyBundle;
  try {
    text = canonicalJson(source);
    bundle = JSON.parse(text);
  } catch (cause) {
    throw refused("it is neither Cedar text nor a bundle of plain JSON", cause);
  }
  if (!isObject(bundle)) throw refused("it is neither Cedar text nor a bundle");
  const stray = Object.keys(bundle).find((field) => !FIELDS.includes(field));
  if (stray !== undefined) throw refused(`it has ${JSON.stringify(stray)}; there are ${FIELDS.join(", ")}`);
  const bytes = toUtf8(text).length;
  if (bytes > MAX_BUNDLE_BYTES) throw refused(`it has ${bytes} bytes; at most ${MAX_BUNDLE_BYTES} are read`);
  return read(bundle, text);
}

/** Reads what {@link ReadSource.text} holds. */
export function readText(text: string): ReadSource {
  // Cedar text cannot begin with a brace, and canonical JSON of an object begins with nothing else.
  return readSource(text.startsWith("{") ? JSON.parse(text) : text);
}

function read({ policies, schema, entities = [], tests = [] }: PolicyBundle, text: string): ReadSource {
  if (typeof policies !== "string") throw refused("its policies are not Cedar text");
  if (schema !== undefined && typeof schema !== "string" && !isObject(schema)) throw refused("its schema is none");
  if (!Array.isArray(entities) || entities.length > MAX_ENTITIES) {
    throw refused(`its entities are not a list of at most ${MAX_ENTITIES}`);
  }
  if (!Array.isArray(tests) || tests.length > MAX_TESTS)
    throw refused(`its tests are not a list of at most ${MAX_TESTS}`);
  tests.forEach(checkTest);
  return { text, digest: sha256Hex(toUtf8(text)), policies, schema, entities, tests };
}

function checkTest(test: PolicyTest, index: number): void {
  const wrong = (what: string) => refused(`its ${titleOf(test, index)} ${what}`);
  if (!isObject(test)) throw refused(`its test ${index + 1} is not an object`);
  const stray = Object.keys(test).find((field) => !TEST_FIELDS.includes(field));
  if (stray !== undefined) throw wrong(`has ${JSON.stringify(stray)}; there are ${TEST_FIELDS.join(", ")}`);
  const { name, tool, input, agent, vak, expect, by } = test;
  if (name !== undefined && typeof name !== "string") throw wrong("has a name that is not text");
  if (typeof tool !== "string") throw wrong("names no tool");
  if (!EXPECTED.includes(expect)) throw wrong(`expects ${JSON.stringify(expect)}; say ${EXPECTED.join(", ")}`);
  for (const part of [input, agent, vak]) {
    if (part !== undefined && !isObject(part)) throw wrong("has an input, agent or vak that is not an object");
  }
  if (by !== undefined && !(Array.isArray(by) && by.every((id) => typeof id === "string"))) {
    throw wrong("has a by that is not a list of ids");
  }
}

/**
 * The request that a test stands for.
 *
 * @param budgets those of the kernel: nothing of them is used, unless the test says otherwise
 */
export function requestOf(
  { tool, input = {}, agent, vak }: PolicyTest,
  budgets: { readonly [name: string]: { readonly limit: number } },
): PolicyRequest {
  const unused = Object.entries(budgets).map(([name, { limit }]) => [name, { used: 0, left: limit, limit }]);
  const budget = { ...Object.fromEntries(unused), ...vak?.budget };
  return {
    agent: { id: "test", name: "test", program: "0".repeat(64), ...agent },
    tool,
    input,
    vak: { now: NOON, calls: 0, approved: false, labels: [], ...vak, budget, callDigest: "0".repeat(64) },
  };
}

/** A test that did not hold. */
export interface FailedTest {
  /** Its name, or its place. */
  test: string;
  /** What was decided, and by what. */
  message: string;
}

/** What is wrong with a decision that a test is about, or undefined. */
export function failureOf(test: PolicyTest, index: number, decision: Decision): FailedTest | undefined {
  const said = [decision.decision, ...decision.policies, decision.reason, ...decision.errors]
    .filter(Boolean)
    .join(", ");
  const failed = (message: string) => ({ test: titleOf(test, index), message });
  // A call that could not even be put to the policy shows nothing about it.
  if (decision.reason === "policy-unavailable") return failed(`could not be put to the policy: ${decision.errors[0]}`);
  if (decision.decision !== test.expect) return failed(`expects ${test.expect}, but it is: ${said}`);
  if (test.by && test.by.toSorted().join("\n") !== decision.policies.toSorted().join("\n")) {
    return failed(`expects it by ${test.by.join(", ") || "none"}, but it is: ${said}`);
  }
  return undefined;
}

/** @throws VakError `invalid-policy` naming the tests that failed */
export function refuseFailed(failed: readonly FailedTest[]): void {
  if (failed.length === 0) return;
  const lines = failed.slice(0, MAX_FAILURES).map(({ test, message }) => `    ${test} ${message}`);
  const more = failed.length > MAX_FAILURES ? [`    and ${failed.length - MAX_FAILURES} more`] : [];
  throw refused([`${failed.length} of its tests failed:`, ...lines, ...more].join("\n"));
}

const titleOf = (test: PolicyTest, index: number): string =>
  typeof test.name === "string" ? `test ${JSON.stringify(test.name.slice(0, 100))}` : `test ${index + 1}`;

function refused(why: string, cause?: unknown): VakError {
  return new VakError("invalid-policy", `The policy is refused: ${why}`, {
    cause,
  });
}
