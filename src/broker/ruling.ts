/** What the policy says of a checked call, asked once; then how the kernel adjusts it: rights, leases, budgets. */
import { clip } from "../base/clip.ts";
import type { Bill } from "../policy/bill.ts";
import { callDigest } from "../policy/digest.ts";
import type { Decision, PolicyEngine, PolicyRequest } from "../policy/engine.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { Caller } from "./call.ts";
import { type Checked, payer } from "./checked.ts";
import type { Lease } from "./lease.ts";
import { MAX_MESSAGE } from "./message.ts";

/** A decision, and the facts that the kernel gave the policy for it. */
export interface Ruling {
  decision: Decision;
  /** The lease that allowed it, where the policy alone would not have. */
  lease?: Lease;
  /** `callDigest` binds the decision to this call and to the policy. */
  vak: PolicyRequest["vak"];
}

/**
 * Rules on a call. Never throws: any error is a denial.
 *
 * @param approved whether a person has approved just this call
 */
export async function rule(
  caller: Caller,
  checked: Checked,
  { policy, ledger }: { policy: PolicyEngine; ledger: Ledger | undefined },
  approved: boolean,
): Promise<Ruling> {
  const { agent, call } = caller;
  const { tool, input, commitment, bill, leaks } = checked;
  for (;;) {
    const labels = caller.taint.list;
    const policyDigest = policy.loaded?.digest ?? "";
    const vak = {
      callDigest: callDigest(agent, tool.name, commitment.digest, policyDigest),
      now: Date.now(),
      calls: call - 1,
      approved,
      labels,
      ...(Array.isArray(leaks) && { leaks }),
      ...(ledger && { budget: ledger.states(payer(caller, tool)) }),
    };
    const denied: Decision = { decision: "deny", policies: [], reason: "not-granted", errors: [], policyDigest };
    // Without the right, the policy is not even asked.
    if (caller.rights?.has(tool.name) === false) return { decision: withRights(caller, tool.name, denied), vak };
    try {
      if (leaks instanceof Error) throw leaks;
      const request = { agent, tool: tool.name, input, vak };
      const decision = await policy.decide(request);
      // Another policy came into force in between: ask again, for the digest must name the one that decided.
      if (decision.policyDigest !== policyDigest) continue;
      const own = strict(decision);
      const leased = approved ? undefined : byLease(caller, own, request);
      const ruled = leased ?? { decision: own };
      return { ...ruled, decision: affordable(ruled.decision, bill), vak };
    } catch (error) {
      const errors = [clip(String(error), MAX_MESSAGE)];
      return { decision: { ...denied, reason: "policy-unavailable", errors }, vak };
    }
  }
}

/** An allow, or an ask, counts only if it is clean: of a loaded policy, by some policy in it, and without an error. */
function strict({ decision, policies, reason, errors, policyDigest, annotations, shadow }: Decision): Decision {
  const extras = {
    ...(annotations && { annotations }),
    ...(shadow && { shadow: { ...shadow, errors: bounded(shadow.errors) } }),
  };
  const clean =
    (decision === "allow" || decision === "ask") && policies.length > 0 && errors.length === 0 && policyDigest !== "";
  if (clean) return { ...extras, decision, policies: [...policies], errors: [], policyDigest };
  return {
    ...extras,
    decision: "deny",
    policies: [...(policies ?? [])],
    reason: reason ?? "policy-unavailable",
    errors: bounded(errors ?? []),
    policyDigest,
  };
}

const bounded = (errors: readonly string[]): string[] => errors.slice(0, 10).map((error) => clip(error, MAX_MESSAGE));

/** If only a permit is missing, a lease of the agent may supply it; then nobody needs to be asked. */
function byLease({ leases = [] }: Caller, own: Decision, request: PolicyRequest): Omit<Ruling, "vak"> | undefined {
  if (own.reason !== "no-permit" && own.decision !== "ask") return undefined;
  for (const lease of leases) {
    const allowed = lease.allows(request, own.policyDigest);
    const decision = allowed && strict(allowed);
    if (decision?.decision === "allow") return { decision, lease };
  }
  return undefined;
}

/** A call that exceeds a budget is denied, and nobody is asked about it. */
function affordable(decision: Decision, bill: Bill | undefined): Decision {
  if (bill?.exceeded === undefined || decision.decision === "deny") return decision;
  const errors = [clip(bill.exceeded, MAX_MESSAGE)];
  return { ...decision, decision: "deny", reason: "budget-exceeded", policies: [], errors };
}

/** A call of a tool that the agent has no right to is denied. */
export function withRights({ rights }: Caller, tool: string, decision: Decision): Decision {
  if (rights === undefined || rights.has(tool)) return decision;
  const reason = rights.revoked ? "revoked" : "not-granted";
  return { decision: "deny", policies: [], reason, errors: [], policyDigest: decision.policyDigest };
}
