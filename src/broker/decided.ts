/** The third stage: a ruling becomes final in the same turn as its entry is appended to the log. */
import type { Decision } from "../policy/engine.ts";
import type { Approved } from "./approved.ts";
import { actionOf, type Caller, position } from "./call.ts";
import type { Checked } from "./checked.ts";
import type { Lease } from "./lease.ts";
import { withRights } from "./ruling.ts";

export interface Decided {
  checked: Checked;
  decision: Decision;
  /** The lease that allowed it, where the policy alone would not have. */
  lease: Lease | undefined;
  /** What the agent had read when it was decided. */
  labels: readonly string[];
  /** What its entry says, allowed or not. */
  entry: ReturnType<typeof entryOf>;
}

const NO_PERMIT = { decision: "deny", reason: "no-permit", policies: [] } as const satisfies Partial<Decision>;

/** Whether the agent's labels are unchanged; if not, the policy must decide again. */
export const isCurrent = (ruling: Approved, caller: Caller): boolean => ruling.vak.labels === caller.taint.list;

/**
 * Makes a ruling final. Its entry must be appended before anything is awaited, so that rights and leases that were
 * revoked or ended before the append allow nothing.
 */
export function finalise(caller: Caller, checked: Checked, ruling: Approved): Decided {
  const { decision: ruled, lease, vak } = ruling;
  const decision = withRights(caller, checked.tool.name, lease && !lease.live ? { ...ruled, ...NO_PERMIT } : ruled);
  return { checked, decision, lease, labels: vak.labels, entry: entryOf(caller, checked, ruling, decision) };
}

/** What an intent and a denial have in common. */
function entryOf(caller: Caller, { tool, redacted }: Checked, { vak, approval }: Approved, decision: Decision) {
  const { callDigest, ...facts } = vak;
  const { policies, policyDigest, shadow } = decision;
  return {
    ...position(caller),
    ...actionOf(tool.name),
    callDigest,
    policies,
    policyDigest,
    facts,
    ...(approval !== undefined && { approval }),
    ...(redacted && { redacted: [...redacted] }),
    ...(shadow && { shadow }),
  };
}
