/** Runs the tests of a policy pack on an instance of Cedar. */
import type { ReadSource } from "../pack.ts";
import { failureOf, refuseFailed, requestOf } from "../pack-tests.ts";
import type { Base } from "./base.ts";
import { deny, judge } from "./judge.ts";
import type { Cedar } from "./read.ts";
import type { Rules } from "./rules.ts";

/**
 * Runs the tests of a policy pack on an instance that was prepared with its rules.
 *
 * @throws VakError `invalid-policy` naming the tests that failed
 */
export async function runTests(cedar: Cedar, base: Base, rules: Rules, { tests }: ReadSource): Promise<void> {
  const failed = [];
  for (const [index, test] of tests.entries()) {
    const tool = base.tools.get(test.tool);
    const { vak, ...request } = requestOf(test, base.budgets);
    const read = await tool?.read?.(request.input);
    const found = tool?.leaks ? { leaks: test.vak?.leaks ?? (read?.ok ? read.leaks : undefined) ?? [] } : {};
    const decision =
      read?.ok === false
        ? deny(rules, "policy-unavailable", [read.message])
        : judge(cedar, rules, { ...request, ...(read && { input: read.input }), vak: { ...vak, ...found } });
    const failure = failureOf(test, index, decision);
    if (failure) failed.push(failure);
  }
  refuseFailed(failed);
}
