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
  AgentClose,
  AgentRef,
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
  LogOpen,
  Outcome,
  PolicyLoad,
  PolicyRefused,
  Recovery,
  RunEnd,
  RunStart,
  SpawnRefused,
} from "./entry.ts";
export { encodeEntry, parseEntry } from "./entry.ts";
export {
  consistencyProof,
  emptyRoot,
  type HashReader,
  inclusionProof,
  leafHash,
  nodeHash,
  RightEdge,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
export {
  cosignatureVerifier,
  cosignedAt,
  cosignedMessage,
  ed25519Verifier,
  formatNote,
  formatVkey,
  type Note,
  parseNote,
  parseVkey,
  type Signature,
  type Verifier,
  verifyNote,
} from "./note.ts";
export { type Proven, verifyProof } from "./proof.ts";
export { makeProof, type TileSource, tileHashes } from "./prove.ts";
export { decodeEntries, encodeEntries, MAX_ENTRY_BYTES, parseTilePath, type Tile, tilePath, tilesOf } from "./tiles.ts";
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
