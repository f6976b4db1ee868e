/** The policy in force, as the page sees it; and the engine of a kernel without a policy, which denies every call. */
import type { Bundle } from "../audit/bundle.ts";
import { canonicalJson } from "../base/canonical.ts";
import { clip } from "../base/clip.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import type { Broker } from "../broker/broker.ts";
import type { Explanation, ProposedCall } from "../broker/explain.ts";
import { VakError } from "../errors.ts";
import type { AuditLog } from "../log/log.ts";
import type { Decision, LoadedPolicy, PolicyEngine, PolicySource } from "../policy/engine.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { Simulation } from "../policy/simulate.ts";
import type { Tool } from "../tool/definition.ts";
import { describeToPolicy } from "../tool/policy-view.ts";
import type { KernelLog } from "./kernel-log.ts";
import type { KernelOptions } from "./options.ts";

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

/**
 * The engine that will decide by the kernel's policy, without one loaded yet; of a kernel without a policy, deny-all.
 */
export async function loadEngine(
  tools: readonly Tool[],
  ledger: Ledger | undefined,
  { policy, cedar: wasm, constitution }: KernelOptions,
): Promise<PolicyEngine> {
  if (policy === undefined) return DENY_ALL;
  const { createCedarEngine } = await import("../policy/cedar/cedar.ts");
  return createCedarEngine({
    tools: tools.map(describeToPolicy),
    ...(ledger && { budgets: Object.fromEntries(ledger.budgets) }),
    ...(constitution !== undefined && { constitution }),
    ...(wasm !== undefined && { wasm }),
  });
}

/** Longest message of a refusal in the log, UTF-16 units. */
const MAX_MESSAGE = 2000;

async function loadPolicy(engine: PolicyEngine, log: AuditLog, source: PolicySource): Promise<LoadedPolicy> {
  try {
    // The log has the policy before any decision can be made by it.
    return await engine.load(source, async ({ policies, text, base }) => {
      await log.append({ type: "policy-load", policies: [...policies] }, { policy: text, base });
    });
  } catch (error) {
    if (error instanceof VakError && error.code === "invalid-policy") {
      const textDigest = await sha256HexOf(toUtf8(textOf(source)));
      await log.append({ type: "policy-refused", textDigest, message: clip(error.message, MAX_MESSAGE) });
    }
    throw error;
  }
}

/** The text of a refused policy whose digest is logged; it may be anything. */
function textOf(source: unknown): string {
  if (typeof source === "string") return source;
  try {
    return canonicalJson(source);
  } catch {
    return "";
  }
}

async function simulateOver(
  engine: PolicyEngine,
  log: Pick<KernelLog, "export"> | Blob | Bundle,
  source: PolicySource,
): Promise<Simulation> {
  const decide = await engine.try(source);
  const [{ simulate }, { openBundle }] = await Promise.all([
    import("../policy/simulate.ts"),
    import("../audit/zip.ts"),
  ]);
  const exported = "export" in log ? await log.export() : log;
  return simulate(exported instanceof Blob ? await openBundle(exported) : exported, decide);
}

const noPolicy = (): never => {
  throw new VakError("unsupported", "This kernel was made without a policy; pass one to createKernel.");
};

const DENIED: Decision = {
  decision: "deny",
  policies: [],
  reason: "policy-unavailable",
  errors: [],
  policyDigest: "",
};

const DENY_ALL: PolicyEngine = {
  loaded: undefined,
  load: noPolicy,
  try: async () => noPolicy(),
  lease: async () => noPolicy(),
  decide: async () => DENIED,
  callable: async () => new Set(),
  explain: async () => ({ ...DENIED, because: [] }),
  close: () => {},
};
