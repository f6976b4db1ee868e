/** The tools that an agent could ever be allowed to call, by Cedar's partial evaluation. */
import type { PolicyRequest } from "../engine.ts";
import { principalOf } from "./judge.ts";
import { matches } from "./names.ts";
import { type Cedar, messageOf } from "./read.ts";
import type { Rules } from "./rules.ts";

/**
 * Whether a call of a tool could ever be allowed. Cedar's partial evaluation knows the agent, the tool and the
 * entities, but neither the input nor anything in `context.vak`, such as whether a person approves. So the answer may
 * be yes for a tool of which no call is allowed in the end, but it is never no for one of which a call could be.
 *
 * Nothing is kept parsed for this: for each tool, it takes about as long as loading the policy.
 *
 * @param cedar an instance that decides nothing else
 * @throws what the instance throws when it traps; Error if Cedar gives no answer
 */
export function callable(cedar: Cedar, rules: Rules, agent: PolicyRequest["agent"], tool: string): boolean {
  const { uid, entities } = principalOf(rules, agent, tool);
  const view = rules.views.get(tool)!;
  const scoped = [...rules.enforced].filter(([id]) => matches(rules.scopes.get(id)!, tool, view));
  const answer = cedar.isAuthorizedPartial({
    schema: rules.schema,
    validateRequest: false, // unknowns have no type
    principal: uid,
    action: { type: "Action", id: `call:${tool}` },
    resource: { type: "Tool", id: tool },
    context: { input: unknown("input"), vak: unknown("vak") },
    policies: { staticPolicies: Object.fromEntries(scoped) },
    entities,
  });
  if (answer.type !== "residuals") throw new Error(answer.errors.map(messageOf).join("; "));
  const { decision, errored } = answer.response;
  // A policy that always fails denies every call.
  return decision !== "deny" && errored.length === 0;
}

const unknown = (arg: string) => ({ __extn: { fn: "unknown", arg } });
