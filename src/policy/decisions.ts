/** Reads the decisions out of a log, each with the request that the policy was asked. */
import type { Bundle } from "../audit/bundle.ts";
import { entriesOf, valueBeside } from "../audit/bundle-reading.ts";
import type { Denial, Intent } from "../audit/vocabulary/call.ts";
import type { Digest } from "../audit/vocabulary/common.ts";
import { VakError } from "../errors.ts";
import type { Decision, DenyReason, PolicyRequest } from "./engine.ts";

/** A decision in a log, with its request as far as the bundle has it. */
export interface LoggedDecision {
  entry: Intent | Denial;
  /** What the policy was asked; absent if the bundle no longer has it. */
  request?: PolicyRequest;
  /** Why `request` is absent. */
  why?: string;
  policyDigest: Digest | "";
  /** Digest of the base (tools, budgets, constitution); absent if no `policy-load` before the decision has one. */
  baseDigest: Digest | undefined;
  /** The permits of the lease that allowed it. */
  lease?: string;
  /** The policy's decision, before budgets and people. */
  was: Verdict;
}

/** The part of a decision in which two policies can differ. */
export interface Verdict {
  /** `payable`: allow or ask (which of them is unknown), but a budget did not suffice. */
  decision: Decision["decision"] | "payable";
  reason?: DenyReason;
  policies: string[];
}

/** The reasons for which a policy denies. */
const OF_POLICY = ["forbidden", "no-permit", "policy-error", "policy-unavailable", "label-not-accepted"];

/** The reasons for which a call is denied before the policy is asked. */
const OF_RIGHTS = ["not-granted", "revoked"];

/**
 * The decisions in a log, in order. Requests that were refused before the policy was asked are not among them.
 *
 * @throws VakError `invalid-bundle`
 */
export async function* decisionsOf(bundle: Bundle): AsyncGenerator<LoggedDecision> {
  let baseDigest: Digest | undefined;
  const leases = new Map<number, string>();
  for await (const entry of entriesOf(bundle)) {
    if (entry.type === "lease") leases.set(entry.seq, entry.permit);
    if (entry.type === "policy-load") baseDigest = entry.baseDigest;
    if ((entry.type !== "intent" && entry.type !== "denial") || entry.callDigest === null) continue;
    if (entry.type === "denial" && OF_RIGHTS.includes(entry.reason)) continue;
    const { policyDigest } = entry;
    const lease = entry.type === "intent" && entry.lease !== undefined && { lease: leases.get(entry.lease) ?? "" };
    const about = { entry, policyDigest, baseDigest, ...lease, was: verdictOf(entry) };
    const request = await requestOf(bundle, entry);
    yield typeof request === "string" ? { ...about, why: request } : { ...about, request };
  }
}

function verdictOf(entry: Intent | Denial): Verdict {
  const { policies } = entry;
  if (entry.type === "intent") return { decision: "allow", policies };
  const { reason } = entry;
  if (reason === "budget-exceeded") return { decision: "payable", policies: [] };
  if (reason.startsWith("approval-")) return { decision: "ask", policies };
  if (!OF_POLICY.includes(reason)) {
    throw new VakError("invalid-bundle", `Entry ${entry.seq} is a denial with an unknown reason: ${reason}.`);
  }
  return { decision: "deny", reason: reason as DenyReason, policies };
}

/** What the policy was asked, or why that is unknown. */
async function requestOf(bundle: Bundle, entry: Intent | Denial): Promise<PolicyRequest | string> {
  const { agent, resource: tool, facts, callDigest } = entry;
  if (!facts) return "the log does not have the facts that the policy was given";
  const value = await valueBeside(bundle, entry);
  if (!value) return "its input is not in the bundle";
  if (value.withheld.length > 0) return "its input was kept without its secrets";
  const input = value.value as PolicyRequest["input"];
  return {
    agent,
    tool,
    input,
    vak: {
      ...(facts as Omit<PolicyRequest["vak"], "callDigest">),
      labels: (facts.labels ?? []) as string[],
      callDigest: callDigest ?? "",
    },
  };
}

/** Whether a decision is the same as the logged one. */
export function agrees(was: Verdict, now: Decision): boolean {
  if (was.decision === "payable") return now.decision === "allow" || now.decision === "ask";
  return (
    was.decision === now.decision &&
    was.reason === now.reason &&
    was.policies.length === now.policies.length &&
    was.policies.every((id, i) => id === now.policies[i])
  );
}
