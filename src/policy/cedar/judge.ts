/** Decides a request: translates it into a call of Cedar, and the answer of Cedar into a decision. */
import type { Context, EntityJson, StatefulAuthorizationCall } from "@cedar-policy/cedar-wasm/web";
import { clip } from "../../base/clip.ts";
import type { Decision, PolicyRequest, PolicyTool, ShadowDecision } from "../engine.ts";
import { type Cedar, messageOf } from "./read.ts";
import { PARSED, type Rules, TRIED } from "./rules.ts";
import { AGENT, project } from "./view.ts";

/**
 * Decides, on an instance that was prepared with these rules. A request that cannot be translated is denied.
 *
 * @throws what the instance throws when it traps; it cannot be used after that
 */
export function judge(cedar: Pick<Cedar, "statefulIsAuthorized">, rules: Rules, request: PolicyRequest): Decision {
  let call: StatefulAuthorizationCall;
  try {
    call = authorizationCall(rules, request);
  } catch (error) {
    return deny(rules, "policy-unavailable", [error]);
  }
  const unaccepted = unacceptedBy(rules.tools.get(request.tool), request.vak.labels);
  if (unaccepted.length > 0) {
    const decision = deny(rules, "label-not-accepted", [`the tool does not accept ${unaccepted.join(", ")}`]);
    return rules.tried ? { ...decision, shadow: shadowOf(decision) } : decision;
  }
  const decision = weigh(cedar, rules, call);
  if (!rules.tried) return decision;
  return { ...decision, shadow: shadowOf(weigh(cedar, rules, { ...call, preparsedPolicySetId: TRIED })) };
}

/** The labels that the tool itself does not accept; no policy can override that. */
const unacceptedBy = (tool: PolicyTool | undefined, labels: readonly string[]): readonly string[] =>
  tool?.accepts ? labels.filter((label) => !tool.accepts!.includes(label)) : [];

/**
 * Answers as an instance that was prepared with these rules would, but by Cedar's plain `isAuthorized`, which parses
 * schema and policies anew at each call.
 */
export function stateless(cedar: Cedar, { schema, enforced, tried }: Rules): Pick<Cedar, "statefulIsAuthorized"> {
  const policies = (texts: ReadonlyMap<string, string> = new Map()) => ({ staticPolicies: Object.fromEntries(texts) });
  const sets = new Map([
    [PARSED.preparsedPolicySetId as string, policies(enforced)],
    [TRIED, policies(tried)],
  ]);
  return {
    statefulIsAuthorized: ({ preparsedPolicySetId, preparsedSchemaName: _, ...call }) =>
      cedar.isAuthorized({ ...call, schema, policies: sets.get(preparsedPolicySetId)! }),
  };
}

/** Asks Cedar and, if only a permit is missing, whether an approval would supply it. */
export function weigh(
  cedar: Pick<Cedar, "statefulIsAuthorized">,
  rules: Pick<Rules, "digest" | "annotations" | "asks">,
  call: StatefulAuthorizationCall,
): Decision {
  const decision = interpret(cedar.statefulIsAuthorized(call), rules);
  const vak = call.context.vak as Context;
  if (decision.reason !== "no-permit" || !rules.asks || vak.approved === true) return decision;
  const context = { ...call.context, vak: { ...vak, approved: true } };
  const approved = interpret(cedar.statefulIsAuthorized({ ...call, context }), rules);
  return approved.decision === "allow" ? { ...approved, decision: "ask" } : decision;
}

function shadowOf({ decision, policies, reason, errors }: Decision): ShadowDecision {
  return { decision, policies, ...(reason && { reason }), errors };
}

function authorizationCall(rules: Rules, { agent, tool, input, vak }: PolicyRequest): StatefulAuthorizationCall {
  const view = rules.views.get(tool);
  if (!view) throw new Error(`there is no tool "${tool}"`);
  const { uid, entities } = principalOf(rules, agent, tool);
  return {
    ...PARSED,
    validateRequest: true,
    principal: uid,
    action: { type: "Action", id: `call:${tool}` },
    resource: { type: "Tool", id: tool },
    context: project(view.context, { input, vak }) as Context,
    entities,
  };
}

/** The principal, and the entities that the decision on a call of the tool needs. */
export function principalOf(rules: Rules, agent: PolicyRequest["agent"], tool: string) {
  const uid = { type: "Agent", id: agent.id };
  const principal: EntityJson = { uid, attrs: project(AGENT, agent, "agent") as Context, parents: [] };
  return { uid, entities: [principal, ...(rules.entities.get(tool) ?? [])] };
}

/** Allows only if Cedar allows without any error, because an error may have skipped a `forbid`. */
export function interpret(
  answer: ReturnType<Cedar["statefulIsAuthorized"]>,
  rules: Pick<Rules, "digest" | "annotations">,
): Decision {
  if (answer.type !== "success") return deny(rules, "policy-unavailable", answer.errors);
  const { decision, diagnostics } = answer.response;
  const { errors } = diagnostics;
  const reason = diagnostics.reason.toSorted(); // Cedar returns them in any order; a decision has one form
  if (decision === "allow" && errors.length === 0) {
    return explained({ decision, policies: reason, errors: [], policyDigest: rules.digest }, rules);
  }
  const met = errors.toSorted((a, b) => (a.policyId < b.policyId ? -1 : 1)).map((entry) => entry.error);
  if (decision === "deny" && reason.length > 0) return deny(rules, "forbidden", met, reason);
  if (errors.length > 0) {
    const failed = errors.map((entry) => entry.policyId).toSorted();
    return deny(rules, "policy-error", met, failed);
  }
  return deny(rules, "no-permit", []);
}

/** A denial, with the policies that determined it. */
export function deny(
  rules: Pick<Rules, "digest" | "annotations">,
  reason: NonNullable<Decision["reason"]>,
  errors: readonly unknown[],
  policies: string[] = [],
): Decision {
  // A message can quote the guest, and the log keeps it: so number and length are bounded.
  const messages = errors.slice(0, 8).map((error) => clip(messageOf(error), 500));
  return explained({ decision: "deny", policies, reason, errors: messages, policyDigest: rules.digest }, rules);
}

function explained(decision: Decision, { annotations }: Pick<Rules, "annotations">): Decision {
  const said = decision.policies.filter((id) => Object.hasOwn(annotations, id));
  if (said.length === 0) return decision;
  return { ...decision, annotations: Object.fromEntries(said.map((id) => [id, annotations[id]!])) };
}
