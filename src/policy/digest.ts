/** The digest of a call: what a decision and an approval are bound to. */
import type { AgentRef } from "../audit/vocabulary/common.ts";
import { canonicalBytes } from "../base/canonical.ts";
import { sha256Hex } from "../base/sha256.ts";

/**
 * SHA-256 of the canonical JSON (RFC 8785) of agent, tool, inputDigest and policyDigest, in hex. The input is included
 * by its salted commitment: a digest of the input itself would stay in the log after the input was erased, and let
 * anyone test guesses.
 */
export function callDigest(agent: AgentRef, tool: string, inputDigest: string, policyDigest: string): string {
  return sha256Hex(canonicalBytes({ agent: { ...agent }, tool, inputDigest, policyDigest }));
}
