/** Explains a hypothetical call: what would be decided about it, and by which policies. */
import type { Decision, DenyReason, ExplainedPolicy, PolicyEngine, PolicyRequest } from "../policy/engine.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { readInput } from "../tool/leaks.ts";

/** A hypothetical call, to be explained. */
export interface ProposedCall {
  /** Who would make it: an agent, or what policies see of one. */
  agent: { readonly name: string; readonly program: string; readonly id?: string; readonly labels?: readonly string[] };
  tool: string;
  input?: unknown;
  /** What the kernel would know. Unless given, the clock is now, the labels are the agent's, and the rest is zero. */
  vak?: Partial<Omit<PolicyRequest["vak"], "callDigest">>;
}

export interface Explanation extends Omit<Decision, "reason" | "annotations"> {
  /** Why it would be denied: as in {@link Decision}, or why it would not even be decided. */
  reason?: DenyReason | "unknown-tool" | "invalid-input";
  /** The policies that determine it. */
  because: ExplainedPolicy[];
}

/** A {@link ProposedCall} as it was when it was proposed. */
interface Proposed {
  agent: PolicyRequest["agent"];
  tool: string;
  labels: readonly string[];
  vak: ProposedCall["vak"];
  policyDigest: string;
}

/** @param read the input, being checked; absent for a tool that does not exist */
export async function explain(
  { agent, tool, labels, vak, policyDigest }: Proposed,
  read: ReturnType<typeof readInput> | undefined,
  { policy, ledger }: { policy: PolicyEngine; ledger: Pick<Ledger, "states"> | undefined },
): Promise<Explanation> {
  const checked = await read;
  if (!checked?.ok) {
    const [reason, message] = checked
      ? (["invalid-input", checked.message] as const)
      : (["unknown-tool", tool] as const);
    return { decision: "deny", reason, policies: [], because: [], errors: [message], policyDigest };
  }
  const budget = ledger && { budget: { ...ledger.states(), ...vak?.budget } };
  const found = checked.leaks && { leaks: checked.leaks };
  const request = {
    agent,
    tool,
    input: checked.input,
    vak: { now: Date.now(), calls: 0, approved: false, labels, ...found, ...vak, callDigest: "", ...budget },
  };
  const { annotations: _, ...decision } = await policy.explain(request);
  return decision;
}
