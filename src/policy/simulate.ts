/** Simulates another policy on the calls of a log: what it would have decided differently. */
import type { Bundle } from "../audit/bundle.ts";
import { decisionsOf, type Verdict } from "./decisions.ts";
import type { Decision, PolicyRequest } from "./engine.ts";

/** A decision that would have been different. */
export interface Change {
  /** The intent's or the denial's. */
  seq: number;
  agent: { id: string; name: string; program: string };
  run: string;
  call: number;
  tool: string;
  was: Verdict;
  would: Verdict & { errors: string[] };
}

export interface Simulation {
  /** Decisions in the log. */
  decisions: number;
  /** How many would have been the same. */
  same: number;
  changed: Change[];
  /** Those that could not be made again, and why. */
  undecided: { seq: number; why: string }[];
}

/**
 * Asks another policy about every call of a log, each with what the kernel knew then. A decision counts as the same if
 * it is again to allow, to deny or to ask, even if other policies determine it.
 *
 * @throws VakError `invalid-bundle`
 */
export async function simulate(bundle: Bundle, decide: (request: PolicyRequest) => Decision): Promise<Simulation> {
  const result: Simulation = { decisions: 0, same: 0, changed: [], undecided: [] };
  for await (const { entry, request, why, was, lease } of decisionsOf(bundle)) {
    result.decisions++;
    const { seq, agent, run, call, resource: tool } = entry;
    if (!request || lease !== undefined) {
      result.undecided.push({ seq, why: why ?? "a lease allowed it" });
      continue;
    }
    const { decision, reason, policies, errors } = decide(request);
    if (reason === "policy-unavailable")
      result.undecided.push({ seq, why: errors[0] ?? "the policy could not be asked" });
    else if (was.decision === "payable" ? decision !== "deny" : decision === was.decision) result.same++;
    else {
      const would = { decision, ...(reason && { reason }), policies, errors };
      result.changed.push({ seq, agent, run, call, tool, was, would });
    }
  }
  return result;
}
