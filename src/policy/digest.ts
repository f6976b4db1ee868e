import type { AgentRef } from "../audit/vocabulary/common.ts";
import { canonicalBytes } from "../base/canonical.ts";
import { sha256Hex } from "../base/sha256.ts";

/**
 * What a decision is bound to: SHA-256 of the canonical JSON (RFC 8785) of agent, tool, inputDigest and policyDigest, hex.
 * The input comes in by its salted commitment: a digest of the input itself would stay in the log when the input is
 * erased, and let anyone try what it was.
 */
export function callDigest(agent: AgentRef, tool: string, inputDigest: string, policyDigest: string): string {
  return sha256Hex(canonicalBytes({ agent: { ...agent }, tool, inputDigest, policyDigest }));
}
