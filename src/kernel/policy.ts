/** The policy in force, as the page sees it. */
import type { Bundle } from "../audit/bundle.ts";
import type { Broker } from "../broker/broker.ts";
import type { Explanation, ProposedCall } from "../broker/explain.ts";
import type { AuditLog } from "../log/log.ts";
import type { LoadedPolicy, PolicyEngine, PolicySource } from "../policy/engine.ts";
import type { Simulation } from "../policy/simulate.ts";
import type { KernelLog } from "./kernel-log.ts";
import { loadPolicy } from "./policy-loading.ts";
import { simulateOver } from "./policy-simulation.ts";

/** The policy in force. */
export interface KernelPolicy {
  readonly loaded: LoadedPolicy | undefined;
  /**
   * Replaces the policy, once the log has the new one. On any error the old one stays. A call that is under way
   * finishes under the policy that decided it.
   *
   * @throws VakError `invalid-policy`, also when a test of the pack fails; `policy-unavailable`, `log-unavailable`
   */
  load(policy: PolicySource): Promise<LoadedPolicy>;
  /**
   * What would be decided about a call, and why. Nothing is done and nothing is logged.
   *
   * @throws VakError `log-unavailable` if the code that explains cannot be loaded
   * @example
   * const { decision, reason, because } = await kernel.policy.explain({ agent, tool: "add", input: { a: 1, b: 2 } });
   */
  explain(call: ProposedCall): Promise<Explanation>;
  /**
   * What another policy would have decided about the calls of a log, given what the kernel knew at each of them, with
   * this kernel's tools and budgets. Nothing is done and nothing is logged.
   *
   * @param log this kernel's, or an exported one
   * @throws VakError `invalid-policy`, `invalid-bundle`, `unsupported` when the kernel has no policy
   * @example
   * const { changed } = await kernel.policy.simulate(kernel.log, stricter);
   */
  simulate(log: Pick<KernelLog, "export"> | Blob | Bundle, policy: PolicySource): Promise<Simulation>;
}

export const kernelPolicy = (engine: PolicyEngine, broker: Broker, log: AuditLog): KernelPolicy => ({
  get loaded() {
    return engine.loaded;
  },
  load: (source) => loadPolicy(engine, log, source),
  explain: (call) => broker.explain(call),
  simulate: (log, source) => simulateOver(engine, log, source),
});
