/** Loads the engine that decides, and policies into it. */
import { canonicalJson } from "../base/canonical.ts";
import { clip } from "../base/clip.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { AuditLog } from "../log/log.ts";
import type { LoadedPolicy, PolicyEngine, PolicySource } from "../policy/engine.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { Tool } from "../tool/definition.ts";
import { describeToPolicy } from "../tool/policy-view.ts";
import { MAX_REFUSAL } from "./bounds.ts";
import { DENY_ALL } from "./deny-all.ts";
import type { KernelOptions } from "./options.ts";

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

/** Loads a policy, and logs it or its refusal. */
export async function loadPolicy(engine: PolicyEngine, log: AuditLog, source: PolicySource): Promise<LoadedPolicy> {
  try {
    // The log has the policy before any decision can be made by it.
    return await engine.load(source, async ({ policies, text, base }) => {
      await log.append({ type: "policy-load", policies: [...policies] }, { policy: text, base });
    });
  } catch (error) {
    if (error instanceof VakError && error.code === "invalid-policy") {
      const textDigest = await sha256HexOf(toUtf8(textOf(source)));
      await log.append({ type: "policy-refused", textDigest, message: clip(error.message, MAX_REFUSAL) });
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
