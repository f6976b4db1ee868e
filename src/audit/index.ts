/**
 * `vak/audit`: reading and verifying logs, in a browser or in Node. Pure: no DOM, no storage, no network.
 *
 * @example
 * import { openBundle, verify } from "vak/audit";
 *
 * const report = await verify(await openBundle(await file.arrayBuffer()), { keys: [vkey] });
 * console.log(report.ok, report.problems, report.notChecked);
 */
export { canonicalBytes, canonicalJson } from "./canonical.ts";
export { formatCheckpoint, parseCheckpoint, type TreeHead } from "./checkpoint.ts";
export type {
  AgentAttenuate,
  AgentClose,
  AgentRef,
  AgentRevoke,
  AgentSpawn,
  Approval,
  ApprovalRequest,
  Denial,
  Digest,
  Entry,
  EntryType,
  Erase,
  Intent,
  KeyRotation,
  Lease,
  LeaseEnd,
  LogOpen,
  Outcome,
  PolicyLoad,
  PolicyRefused,
  Recovery,
  RunEnd,
  RunStart,
  SpawnRefused,
  TracePart,
} from "./entry.ts";
export { encodeEntry, parseEntry } from "./entry.ts";
export { decodeEntries, encodeEntries } from "./entry-bundle.ts";
export { emptyRoot, leafHash, nodeHash, RightEdge } from "./merkle.ts";
export {
  consistencyProof,
  type HashReader,
  inclusionProof,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from "./merkle-proof.ts";
export {
  cosignatureVerifier,
  ed25519Verifier,
  formatNote,
  formatVkey,
  type Note,
  type Signature,
  type Verifier,
} from "./note.ts";
export { cosignedAt, cosignedMessage, parseNote, parseVkey, verifyNote } from "./note-reading.ts";
export { type Proven, verifyProof } from "./proof.ts";
export { makeProof, type TileSource, tileHashes } from "./prove.ts";
export { MAX_ENTRY_BYTES } from "./sizes.ts";
export { parseTilePath, type Tile, tilePath, tilesOf } from "./tiles.ts";
export {
  type CallSummary,
  type Problem,
  type Report,
  type RunSummary,
  type VerifyOptions,
  verify,
} from "./verify.ts";
export { type WitnessOptions, witness } from "./witness.ts";
export { type Bundle, type ByteSource, joinBundles, openBundle } from "./zip.ts";
