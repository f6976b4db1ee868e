/** The tests of a policy pack: calls, each with the decision that the policy must give. */
import { isObject } from "../base/guards.ts";
import type { Decision, PolicyRequest, PolicyTest } from "./engine.ts";
import { refused } from "./refused.ts";

const TEST_FIELDS = ["name", "tool", "input", "agent", "vak", "expect", "by"];
const EXPECTED: readonly Decision["decision"][] = ["allow", "deny", "ask"];
/** Failed tests that an error names. */
const MAX_FAILURES = 10;

/** The clock of a test that does not set it. */
const NOON = Date.UTC(2026, 0, 1, 12);

/** @throws VakError `invalid-policy` if a test of a pack is malformed */
export function checkTest(test: PolicyTest, index: number): void {
  const wrong = (what: string) => refused(`its ${titleOf(test, index)} ${what}`);
  if (!isObject(test)) throw refused(`its test ${index + 1} is not an object`);
  const stray = Object.keys(test).find((field) => !TEST_FIELDS.includes(field));
  if (stray !== undefined) {
    throw wrong(`has an unknown field ${JSON.stringify(stray)}; the fields are ${TEST_FIELDS.join(", ")}`);
  }
  const { name, tool, input, agent, vak, expect, by } = test;
  if (name !== undefined && typeof name !== "string") throw wrong("has a name that is not a string");
  if (typeof tool !== "string") throw wrong("does not name a tool");
  if (!EXPECTED.includes(expect)) {
    throw wrong(`expects ${JSON.stringify(expect)}; it must expect one of ${EXPECTED.join(", ")}`);
  }
  for (const part of [input, agent, vak]) {
    if (part !== undefined && !isObject(part)) throw wrong("has an input, agent or vak that is not an object");
  }
  if (by !== undefined && !(Array.isArray(by) && by.every((id) => typeof id === "string"))) {
    throw wrong("has a by that is not a list of ids");
  }
}

/**
 * The request that a test describes.
 *
 * @param budgets the kernel's; unused unless the test says otherwise
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

export interface FailedTest {
  /** Its name, or its position. */
  test: string;
  /** What it expected, and what was decided by which policies. */
  message: string;
}

/** How a decision differs from what a test expects; undefined if it does not. */
export function failureOf(test: PolicyTest, index: number, decision: Decision): FailedTest | undefined {
  const decided = [decision.decision, ...decision.policies, decision.reason, ...decision.errors]
    .filter(Boolean)
    .join(", ");
  const failed = (message: string) => ({ test: titleOf(test, index), message });
  // A call that could not be put to the policy shows nothing about the policy.
  if (decision.reason === "policy-unavailable") return failed(`could not be put to the policy: ${decision.errors[0]}`);
  if (decision.decision !== test.expect) return failed(`expects ${test.expect}, but the decision is: ${decided}`);
  if (test.by && test.by.toSorted().join("\n") !== decision.policies.toSorted().join("\n")) {
    return failed(`expects it by ${test.by.join(", ") || "no policy"}, but the decision is: ${decided}`);
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
