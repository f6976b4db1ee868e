import type { Bundle } from "../audit/bundle.ts";
import { entriesOf, valueBeside } from "../audit/bundle-reading.ts";
import type { Denial, Intent } from "../audit/vocabulary/call.ts";
import type { Digest } from "../audit/vocabulary/common.ts";
import { VakError } from "../errors.ts";
import type { Decision, DenyReason, PolicyRequest } from "./engine.ts";

/** A decision in a log, and what it was made from as far as the bundle has it. */
export interface LoggedDecision {
  entry: Intent | Denial;
  /** What the policy was asked; absent when that is not known any more. */
  request?: PolicyRequest;
  /** Why it is not. */
  why?: string;
  policyDigest: Digest | "";
  /** Digest of what the policy stood on; absent in a log that was written before it was kept. */
  baseDigest: Digest | undefined;
  /** The permits of the lease by which it was allowed. */
  lease?: string;
  /** What was decided, before budgets and people were asked. */
  was: Verdict;
}

/** Of a decision, what two policies can differ in. */
export interface Verdict {
  /** `payable`: allowed or to be asked about, but for a budget. */
  decision: Decision["decision"] | "payable";
  reason?: DenyReason;
  policies: string[];
}

/** Reasons that a policy alone has for a denial. */
const OF_POLICY = ["forbidden", "no-permit", "policy-error", "policy-unavailable", "label-not-accepted"];

const OF_RIGHTS = ["not-granted", "revoked"];

/**
 * The decisions in a log, in order; requests that were refused before they came to a decision are none.
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
    // What an agent has no right to ask for is not put to the policy.
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
    throw new VakError("invalid-bundle", `Entry ${entry.seq} was denied for a reason that there is not: ${reason}.`);
  }
  return { decision: "deny", reason: reason as DenyReason, policies };
}

/** What the policy was asked, or why that is not known. */
async function requestOf(bundle: Bundle, entry: Intent | Denial): Promise<PolicyRequest | string> {
  const { agent, resource: tool, facts, callDigest } = entry;
  if (!facts) return "the log does not have what the kernel told the policy";
  const value = await valueBeside(bundle, entry);
  if (!value) return "its input is not in the bundle";
  if (value.withheld.length > 0) return "its input was kept without its secrets";
  const input = value.value as PolicyRequest["input"];
  return {
    agent,
    tool,
    input,
    // The facts of logs of before there were labels have none.
    vak: {
      ...(facts as Omit<PolicyRequest["vak"], "callDigest">),
      labels: (facts.labels ?? []) as string[],
      callDigest: callDigest ?? "",
    },
  };
}

/** Whether a decision comes to what was logged. */
export function agrees(was: Verdict, now: Decision): boolean {
  if (was.decision === "payable") return now.decision === "allow" || now.decision === "ask";
  return (
    was.decision === now.decision &&
    was.reason === now.reason &&
    was.policies.length === now.policies.length &&
    was.policies.every((id, i) => id === now.policies[i])
  );
}
