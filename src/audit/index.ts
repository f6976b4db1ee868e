/**
 * `vak/audit`: reading and verifying logs, in a browser or in Node. Pure: no DOM, no storage, no network.
 *
 * @example
 * import { openBundle, verify } from "vak/audit";
 *
 * const report = await verify(await openBundle(await file.arrayBuffer()), { keys: [vkey] });
 * console.log(report.ok, report.problems, report.notChecked);
 */
export { canonicalBytes, canonicalJson } from "../base/canonical.ts";
export { formatCheckpoint, parseCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
export { decodeEntries, encodeEntries } from "../tlog/entry-bundle.ts";
export { emptyRoot, leafHash, nodeHash, RightEdge } from "../tlog/merkle.ts";
export {
  consistencyProof,
  type HashReader,
  inclusionProof,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from "../tlog/merkle-proof.ts";
export {
  cosignatureVerifier,
  ed25519Verifier,
  formatNote,
  formatVkey,
  type Note,
  type Signature,
  type Verifier,
} from "../tlog/note.ts";
export { cosignedAt, cosignedMessage, parseNote, parseVkey, verifyNote } from "../tlog/note-reading.ts";
export { makeProof, type TileSource, tileHashes } from "../tlog/proof.ts";
export { MAX_ENTRY_BYTES } from "../tlog/sizes.ts";
export { parseTilePath, type Tile, tilePath, tilesOf } from "../tlog/tiles.ts";
export { type WitnessOptions, witness } from "../tlog/witness.ts";
export { type Bundle, joinBundles } from "./bundle.ts";
export type { Entry, EntryType } from "./entry.ts";
export { encodeEntry, parseEntry } from "./entry.ts";
export { type Proven, verifyProof } from "./receipt.ts";
export type { CallSummary, Problem, Report, RunSummary } from "./verification/report.ts";
export { type VerifyOptions, verify } from "./verify.ts";
export type { AgentAttenuate, AgentClose, AgentRevoke, AgentSpawn, SpawnRefused } from "./vocabulary/agent.ts";
export type { Approval, ApprovalRequest, Denial, Intent, Outcome } from "./vocabulary/call.ts";
export type { AgentRef, Digest } from "./vocabulary/common.ts";
export type { Erase, KeyRotation, LogOpen, Recovery } from "./vocabulary/log.ts";
export type { Lease, LeaseEnd, PolicyLoad, PolicyRefused } from "./vocabulary/policy.ts";
export type { RunEnd, RunStart, TracePart } from "./vocabulary/run.ts";
export { type ByteSource, openBundle } from "./zip.ts";
