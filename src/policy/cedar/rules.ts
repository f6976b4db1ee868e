/** Reads a policy, with the constitution and perhaps a lease, into the rules that an instance of Cedar enforces. */
import type { EntityJson, PolicyJson, Schema, SchemaJson } from "@cedar-policy/cedar-wasm/web";
import { VakError } from "../../errors.ts";
import type { Annotations } from "../engine.ts";
import type { ReadSource } from "../pack.ts";
import type { Base } from "./base.ts";
import { entitiesByTool, uidsIn, withTypes } from "./entities.ts";
import { refersTo } from "./names.ts";
import { type Cedar, messageOf, type Part, readPolicy, refusedAt, refuseStrayNames } from "./read.ts";
import type { ToolView } from "./view.ts";

/** A policy that was read and is valid: what to prepare an instance of Cedar with, and how to interpret its answers. */
export interface Rules {
  readonly digest: string;
  readonly views: ReadonlyMap<string, ToolView>;
  readonly tools: Base["tools"];
  readonly schema: SchemaJson<string>;
  /** The policies in force: text by id, in the order of the source. */
  readonly enforced: ReadonlyMap<string, string>;
  /** The actions that the scope of each policy can match, by id. */
  readonly scopes: ReadonlyMap<string, PolicyJson["action"]>;
  /** The policies in force and those in shadow; absent if none is in shadow. */
  readonly tried: ReadonlyMap<string, string> | undefined;
  /** The ids of the policy, or of the lease, in the order of the text. */
  readonly ids: readonly string[];
  readonly annotations: Annotations;
  /** Whether an approval could change a decision: some policy refers to it. */
  readonly asks: boolean;
  /** The entities that Cedar is given with a call of each tool. */
  readonly entities: ReadonlyMap<string, readonly EntityJson[]>;
}

/**
 * The names of what an instance holds parsed. An instance has one policy all its life, because Cedar cannot drop a
 * parsed set: a new policy gets a new instance (1 to 2 ms, once compiled), and the old one is garbage-collected.
 */
export const PARSED = { preparsedSchemaName: "vak", preparsedPolicySetId: "enforced" } as const;
export const TRIED = "tried";

/**
 * Reads, bounds and strictly validates a policy, and prepares the instance with it.
 *
 * @param lease permits to add; policies in shadow are then left out
 * @throws VakError `invalid-policy`; also what the instance throws when it traps, and it cannot be used after that
 */
export function readRules(cedar: Cedar, base: Base, source: ReadSource, lease?: string): Rules {
  const always = readConstitution(cedar, base);
  const schema = withTypes(cedar, base.schema, source.schema);
  const own = readPolicy(cedar, schema, base.hidden, source.policies);
  refuseStrayNames(source.policies, own, base.views);
  refuseLifted(source.policies, own);
  const taken = own.find(({ id }) => always.some((part) => part.id === id));
  if (taken)
    throw refusedAt(source.policies, taken.start, `the constitution has a policy "${taken.id}"; use another id`);
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
 * The forbids that no policy can override. They are validated without the types and entities of a policy pack, so that
 * no pack can change their meaning.
 */
function readConstitution(cedar: Cedar, { constitution, schema, hidden, views }: Base): Part[] {
  if (constitution === "") return [];
  try {
    const parts = readPolicy(cedar, schema, hidden, constitution, "constitution");
    refuseStrayNames(constitution, parts, views);
    refuseLifted(constitution, parts);
    for (const { json, start } of parts) {
      if (json.effect !== "forbid")
        throw refusedAt(constitution, start, "a constitution only forbids; move permits to the policy");
      const moded = json.annotations !== undefined && Object.hasOwn(json.annotations, "mode");
      if (moded) throw refusedAt(constitution, start, "a constitution is always in force and has no @mode; remove it");
    }
    return parts;
  } catch (error) {
    if (!(error instanceof VakError)) throw error;
    throw new VakError(error.code, error.message.replace("The policy is refused", "The constitution is refused"));
  }
}

/** The permits of a lease, which only add to what the policy permits. */
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
      if (json.effect !== "permit") throw refusedAt(text, start, "a lease only permits; remove the forbid");
      if (json.annotations !== undefined && Object.hasOwn(json.annotations, "mode")) {
        throw refusedAt(text, start, "a lease is always in force and has no @mode; remove it");
      }
      if (refersTo(json.conditions, "context.vak.approved")) {
        throw refusedAt(text, start, "a lease is an approval itself and cannot refer to context.vak.approved");
      }
      if (taken.some((part) => part.id === id))
        throw refusedAt(text, start, `another policy has the id "${id}"; rename one`);
    }
    return parts;
  } catch (error) {
    if (!(error instanceof VakError)) throw error;
    throw new VakError(error.code, error.message.replace("The policy is refused", "The lease is refused"));
  }
}

/** An approval can only supply a permit: it never overrides a `forbid`, so one that refers to it is a mistake. */
function refuseLifted(text: string, parts: readonly Part[]): void {
  const lifted = parts.find(
    ({ json }) => json.effect === "forbid" && refersTo(json.conditions, "context.vak.approved"),
  );
  if (!lifted) return;
  const advice = [
    "Write `permit (…) when { … && context.vak.approved };` instead: if only the approval is missing, a person is asked.",
  ];
  throw refusedAt(
    text,
    lifted.start,
    "no approval overrides a forbid, so a forbid cannot refer to context.vak.approved",
    advice,
  );
}

function isShadow(text: string, { json, start }: Part): boolean {
  const mode = json.annotations?.mode;
  if (json.annotations === undefined || !Object.hasOwn(json.annotations, "mode")) return false;
  if (mode !== "shadow")
    throw refusedAt(text, start, `there is no @mode(${JSON.stringify(mode)}); the only one is @mode("shadow")`);
  return true;
}

/** The annotations of policies, other than their ids. */
function annotationsOf(parts: readonly Part[]): Annotations {
  const said: [string, Record<string, string>][] = [];
  for (const { id, json } of parts) {
    const { id: _, ...rest } = (json.annotations ?? {}) as Record<string, string | null>;
    const notes = Object.entries(rest).map(([name, value]) => [name, value ?? ""] as const);
    if (notes.length > 0) said.push([id, Object.freeze(Object.fromEntries(notes))]);
  }
  return Object.freeze(Object.fromEntries(said));
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
