/** The tools that an agent could ever be allowed to call, by Cedar's partial evaluation. */
import type { PolicyRequest } from "../engine.ts";
import { principalOf } from "./judge.ts";
import { matches } from "./names.ts";
import { type Cedar, messageOf } from "./read.ts";
import type { Rules } from "./rules.ts";

/**
 * The tools that an agent could ever be allowed to call: those of which it is not certain that each call is denied, by
 * Cedar's partial evaluation. Of a call are known the agent, the tool and the entities; unknown are its input and all of
 * `context.vak`, an approval too. So a tool may be among them of which no call is allowed in the end, and none is missing
 * of which one could be.
 *
 * Nothing is kept parsed for this: it takes about as long as it takes to load the policy, for each tool.
 *
 * @param cedar an instance that decides nothing else
 * @throws what the instance throws when it traps; Error when Cedar gives no answer
 */
export function callable(cedar: Cedar, rules: Rules, agent: PolicyRequest["agent"], tool: string): boolean {
  const { uid, entities } = principalOf(rules, agent, tool);
  const view = rules.views.get(tool)!;
  const scoped = [...rules.enforced].filter(([id]) => matches(rules.scopes.get(id)!, tool, view));
  const answer = cedar.isAuthorizedPartial({
    schema: rules.schema,
    validateRequest: false, // what is unknown has no type
    principal: uid,
    action: { type: "Action", id: `call:${tool}` },
    resource: { type: "Tool", id: tool },
    context: { input: unknown("input"), vak: unknown("vak") },
    policies: { staticPolicies: Object.fromEntries(scoped) },
    entities,
  });
  if (answer.type !== "residuals") throw new Error(answer.errors.map(messageOf).join("; "));
  const { decision, errored } = answer.response;
  // Where a policy always fails, each call is denied for that.
  return decision !== "deny" && errored.length === 0;
}

const unknown = (arg: string) => ({ __extn: { fn: "unknown", arg } });
