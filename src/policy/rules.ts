import type {
  Context,
  EntityJson,
  PolicyJson,
  Schema,
  SchemaJson,
  StatefulAuthorizationCall,
} from "@cedar-policy/cedar-wasm/web";
import { canonicalJson } from "../base/canonical.ts";
import { VakError } from "../errors.ts";
import type { Budget } from "./budget.ts";
import { failureOf, type ReadSource, refuseFailed, requestOf } from "./bundle.ts";
import type { Annotations, Decision, PolicyRequest, PolicyTool, ShadowDecision } from "./engine.ts";
import { entitiesByTool, uidsIn, withTypes } from "./entities.ts";
import { matches, speaksOf } from "./names.ts";
import { type Cedar, messageOf, type Part, readPolicy, refused, refuseStrayNames } from "./read.ts";
import { AGENT, cedarSchema, type HiddenField, project, type ToolView, viewTool } from "./schema.ts";

/** What every policy of a kernel stands on: the tools as policies see them, the budgets, and what is always forbidden. */
export interface Base {
  readonly views: ReadonlyMap<string, ToolView>;
  readonly hidden: readonly HiddenField[];
  readonly schema: SchemaJson<string>;
  readonly tools: ReadonlyMap<string, PolicyTool>;
  readonly budgets: Budgets;
  /** Cedar text: forbids that no policy can lift. */
  readonly constitution: string;
  /** All of it that matters to a decision, in canonical JSON: from this text the same base can be made again. */
  readonly text: string;
}

export type Budgets = { readonly [name: string]: Budget };

/** A policy that was read and found good: what an instance of Cedar is prepared with, and what its answers mean. */
export interface Rules {
  readonly digest: string;
  readonly views: ReadonlyMap<string, ToolView>;
  readonly tools: Base["tools"];
  readonly schema: SchemaJson<string>;
  /** Text by id, in the order of the source: of the policies that are in force. */
  readonly enforced: ReadonlyMap<string, string>;
  /** By id, the actions that the scope of each policy can match. */
  readonly scopes: ReadonlyMap<string, PolicyJson["action"]>;
  /** Of those and the ones in shadow; absent where there are none. */
  readonly tried: ReadonlyMap<string, string> | undefined;
  /** The ids of the policy, or of the lease, in the order of the text. */
  readonly ids: readonly string[];
  readonly annotations: Annotations;
  /** Whether an approval could change a decision: a policy speaks of it. */
  readonly asks: boolean;
  /** What Cedar is given with a call of each tool. */
  readonly entities: ReadonlyMap<string, readonly EntityJson[]>;
}

/**
 * The names of what is parsed inside an instance. An instance holds one policy for its whole life: Cedar cannot drop a
 * parsed set, so a new policy gets a new instance (a millisecond or two, once compiled) and the old one is garbage.
 */
export const PARSED = { preparsedSchemaName: "vak", preparsedPolicySetId: "enforced" } as const;
const TRIED = "tried";

/** @throws VakError `invalid-tool` when two tools share a name */
export function makeBase(tools: readonly PolicyTool[], budgets: Budgets = {}, constitution = ""): Base {
  const views = new Map(tools.map((tool) => [tool.name, viewTool(tool, Object.keys(budgets))]));
  if (views.size !== tools.length) throw new VakError("invalid-tool", "Two tools have the same name; rename one.");
  const seen = tools.map(({ name, inputSchema, groups, accepts, leaks }) => ({
    ...{ inputSchema, name },
    ...(groups && { groups }),
    ...(accepts && { accepts }),
    ...(leaks ? { leaks: true } : {}),
  }));
  const more = { ...(Object.keys(budgets).length > 0 && { budgets }), ...(constitution !== "" && { constitution }) };
  const text = canonicalJson({ tools: seen, ...more }, MAX_BASE_DEPTH);
  return {
    views,
    hidden: [...views.values()].flatMap((view) => view.hidden),
    schema: cedarSchema(views),
    tools: new Map(tools.map((tool) => [tool.name, tool])),
    budgets,
    constitution,
    text,
  };
}

/** Levels of a tool's schema (64), and what is around it. */
export const MAX_BASE_DEPTH = 68;

/**
 * Reads, bounds and strictly validates a policy, and prepares the instance with it.
 *
 * @param lease permits that are added; what is in shadow is then left out
 * @throws VakError `invalid-policy`; whatever the instance throws when it traps, after which it is of no more use
 */
export function readRules(cedar: Cedar, base: Base, source: ReadSource, lease?: string): Rules {
  const always = readConstitution(cedar, base);
  const schema = withTypes(cedar, base.schema, source.schema);
  const own = readPolicy(cedar, schema, base.hidden, source.policies);
  refuseStrayNames(source.policies, own, base.views);
  refuseLifted(source.policies, own);
  const taken = own.find(({ id }) => always.some((part) => part.id === id));
  if (taken) throw refused(source.policies, taken.start, `the constitution has a policy "${taken.id}"; use another id`);
  const leased = lease === undefined ? [] : readLease(cedar, base, schema, lease, [...always, ...own]);
  const parts = [...always, ...own, ...leased];
  const named = uidsIn(parts.map(({ json }) => json));
  const entities =
    source.entities.length === 0 && schema === base.schema
      ? new Map<string, EntityJson[]>()
      : entitiesByTool(cedar, schema, base.views.keys(), source.entities, named);
  const shadowed = new Set(own.filter((part) => isShadow(source.policies, part)).map(({ id }) => id));
  const texts = new Map(parts.map(({ id, text }) => [id, text]));
  const rules: Rules = {
    digest: source.digest,
    views: base.views,
    tools: base.tools,
    schema,
    enforced: new Map([...texts].filter(([id]) => !shadowed.has(id))),
    scopes: new Map(parts.map(({ id, json }) => [id, json.action])),
    tried: shadowed.size > 0 && lease === undefined ? texts : undefined,
    ids: (lease === undefined ? own : leased).map(({ id }) => id),
    annotations: annotationsOf(parts),
    asks: lease === undefined && parts.some(({ text }) => text.includes("approved")),
    entities,
  };
  prepare(cedar, rules);
  return rules;
}

/**
 * The forbids that stand above every policy. They speak of nothing but what the kernel has fixed, so that no types or
 * entities of a bundle can mean something to them.
 */
function readConstitution(cedar: Cedar, { constitution, schema, hidden, views }: Base): Part[] {
  if (constitution === "") return [];
  try {
    const parts = readPolicy(cedar, schema, hidden, constitution, "constitution");
    refuseStrayNames(constitution, parts, views);
    refuseLifted(constitution, parts);
    for (const { json, start } of parts) {
      if (json.effect !== "forbid")
        throw refused(constitution, start, "a constitution only forbids; permits are the policy's");
      const moded = json.annotations !== undefined && Object.hasOwn(json.annotations, "mode");
      if (moded) throw refused(constitution, start, "what a constitution says is always in force: it has no @mode");
    }
    return parts;
  } catch (error) {
    if (!(error instanceof VakError)) throw error;
    throw new VakError(error.code, error.message.replace("The policy is refused", "The constitution is refused"));
  }
}

/** Permits for a while: they add to what a policy permits, and to nothing else. */
function readLease(
  cedar: Cedar,
  { hidden, views }: Base,
  schema: SchemaJson<string>,
  text: string,
  taken: readonly Part[],
) {
  try {
    const parts = readPolicy(cedar, schema, hidden, text, "lease");
    refuseStrayNames(text, parts, views);
    for (const { id, json, start } of parts) {
      if (json.effect !== "permit") throw refused(text, start, "a lease only permits");
      if (json.annotations !== undefined && Object.hasOwn(json.annotations, "mode")) {
        throw refused(text, start, "what a lease says is in force: it has no @mode");
      }
      if (speaksOf(json.conditions, "context.vak.approved")) {
        throw refused(text, start, "a lease is an approval: it cannot speak of context.vak.approved");
      }
      if (taken.some((part) => part.id === id))
        throw refused(text, start, `another policy has the id "${id}"; rename one`);
    }
    return parts;
  } catch (error) {
    if (!(error instanceof VakError)) throw error;
    throw new VakError(error.code, error.message.replace("The policy is refused", "The lease is refused"));
  }
}

/** An approval stands in for a permit; a `forbid` that it should lift would never be lifted. */
function refuseLifted(text: string, parts: readonly Part[]): void {
  const lifted = parts.find(
    ({ json }) => json.effect === "forbid" && speaksOf(json.conditions, "context.vak.approved"),
  );
  if (!lifted) return;
  const advice = [
    "Write `permit (…) when { … && context.vak.approved };` instead: where only that is missing, a person is asked.",
  ];
  throw refused(text, lifted.start, "no approval lifts a forbid, so it cannot speak of context.vak.approved", advice);
}

function isShadow(text: string, { json, start }: Part): boolean {
  const mode = json.annotations?.mode;
  if (json.annotations === undefined || !Object.hasOwn(json.annotations, "mode")) return false;
  if (mode !== "shadow")
    throw refused(text, start, `there is no @mode(${JSON.stringify(mode)}); @mode("shadow") there is`);
  return true;
}

/** What policies say of themselves, but for their ids. */
function annotationsOf(parts: readonly Part[]): Annotations {
  const said: [string, Record<string, string>][] = [];
  for (const { id, json } of parts) {
    const { id: _, ...rest } = (json.annotations ?? {}) as Record<string, string | null>;
    const notes = Object.entries(rest).map(([name, value]) => [name, value ?? ""] as const);
    if (notes.length > 0) said.push([id, Object.freeze(Object.fromEntries(notes))]);
  }
  return Object.freeze(Object.fromEntries(said));
}

/**
 * Runs the bundle's own tests on an instance that was prepared with its rules.
 *
 * @throws VakError `invalid-policy` naming those that failed
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

/** Parses schema and policies into an instance. */
export function prepare(
  cedar: Cedar,
  { schema, enforced, tried }: Pick<Rules, "enforced" | "tried"> & { schema: Schema },
): void {
  for (const answer of [
    cedar.preparseSchema(PARSED.preparsedSchemaName, schema),
    cedar.preparsePolicySet(PARSED.preparsedPolicySetId, { staticPolicies: Object.fromEntries(enforced) }),
    ...(tried ? [cedar.preparsePolicySet(TRIED, { staticPolicies: Object.fromEntries(tried) })] : []),
  ]) {
    if (answer.type !== "success") throw new Error(answer.errors.map(messageOf).join("; "));
  }
}

/**
 * Decides, on an instance that was prepared with these rules. A request that cannot be put to the policy is denied.
 *
 * @throws what the instance throws when it traps, after which it is of no more use
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

/** Above every policy: what the tool says that it takes. */
const unacceptedBy = (tool: PolicyTool | undefined, labels: readonly string[]): readonly string[] =>
  tool?.accepts ? labels.filter((label) => !tool.accepts!.includes(label)) : [];

/**
 * Answers as an instance that was prepared with these rules would, by Cedar's plain `isAuthorized`: it parses schema and
 * policies anew at each call.
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

/** Asks Cedar; and where nothing but a permit is missing, whether an approval would make up for it. */
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

/** Who calls, and the entities that a call of the tool is decided with. */
function principalOf(rules: Rules, agent: PolicyRequest["agent"], tool: string) {
  const uid = { type: "Agent", id: agent.id };
  const principal: EntityJson = { uid, attrs: project(AGENT, agent, "agent") as Context, parents: [] };
  return { uid, entities: [principal, ...(rules.entities.get(tool) ?? [])] };
}

/** Allows only on a success whose decision is allow and that met no error. An error may have skipped a `forbid`. */
export function interpret(
  answer: ReturnType<Cedar["statefulIsAuthorized"]>,
  rules: Pick<Rules, "digest" | "annotations">,
): Decision {
  if (answer.type !== "success") return deny(rules, "policy-unavailable", answer.errors);
  const { decision, diagnostics } = answer.response;
  const { errors } = diagnostics;
  const reason = diagnostics.reason.toSorted(); // Cedar gives them in any order; a decision has one spelling
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

/** A denial that policies or their absence determined. */
export function deny(
  rules: Pick<Rules, "digest" | "annotations">,
  reason: NonNullable<Decision["reason"]>,
  errors: readonly unknown[],
  policies: string[] = [],
): Decision {
  // A message can quote what the guest sent, and the log keeps it: bounded in number and length.
  const messages = errors.slice(0, 8).map((error) => messageOf(error).slice(0, 500));
  return explained({ decision: "deny", policies, reason, errors: messages, policyDigest: rules.digest }, rules);
}

function explained(decision: Decision, { annotations }: Pick<Rules, "annotations">): Decision {
  const said = decision.policies.filter((id) => Object.hasOwn(annotations, id));
  if (said.length === 0) return decision;
  return { ...decision, annotations: Object.fromEntries(said.map((id) => [id, annotations[id]!])) };
}
