/**
 * Receipts (C2SP tlog-proof), which prove offline that an entry is in the log of a signed checkpoint. The `extra` line
 * holds the entry itself, so that a receipt can be verified with nothing but the log's key.
 */
import { fromBase64 } from "../base/base64.ts";
import type { Bytes } from "../base/bytes.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { parseCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { leafHash } from "../tlog/merkle.ts";
import { verifyInclusion } from "../tlog/merkle-proof.ts";
import { formatVkey } from "../tlog/note.ts";
import { MAX_NOTE_BYTES, parseNote, parseVkey, verifyNote } from "../tlog/note-reading.ts";
import { PROOF_HEADER } from "../tlog/proof.ts";
import { MAX_ENTRY_BYTES } from "../tlog/sizes.ts";
import { type Entry, parseEntry } from "./entry.ts";

/** The longest path: a tree has at most 2^53 leaves. */
const MAX_HASHES = 63;
/** The longest receipt that is read, bytes. */
export const MAX_PROOF_BYTES = MAX_NOTE_BYTES + 2 * MAX_ENTRY_BYTES;

/** What a receipt proves. */
export interface Proven extends TreeHead {
  seq: number;
  entry: Entry;
  /** The given keys (vkey) that signed the checkpoint. */
  keys: string[];
}

/**
 * Verifies a receipt: that one of the keys signed the checkpoint, and that the entry is at its place in that log.
 *
 * @param keys verifier keys (vkey) of the log, as you know them from elsewhere
 * @throws VakError `invalid-bundle` saying why it proves nothing; `invalid-argument` when one of the keys is not a key
 * @example
 * const { seq, entry } = await verifyProof(receipt, [vkey]);
 */
export async function verifyProof(receipt: string, keys: readonly string[]): Promise<Proven> {
  const verifiers = keys.map((key) => {
    try {
      return parseVkey(key);
    } catch (cause) {
      throw new VakError("invalid-argument", "The key to verify the receipt with cannot be read.", { cause });
    }
  });
  const { seq, path, entryBytes, checkpoint } = parseProof(receipt);
  const note = parseNote(toUtf8(checkpoint));
  const head = parseCheckpoint(note.text);
  const signers = (await verifyNote(note, verifiers)).filter(({ name }) => name === head.origin);
  if (signers.length === 0) throw bad("its checkpoint is not signed by a key of the log");
  if (!verifyInclusion(seq, head.size, leafHash(entryBytes), path, head.root)) {
    throw bad(`the entry is not number ${seq} of the log that was signed`);
  }
  const entry = parseEntry(entryBytes);
  if (entry.seq !== seq) throw bad(`the entry says that it is number ${entry.seq}`);
  return { ...head, seq, entry, keys: signers.map(formatVkey) };
}

function parseProof(receipt: string): { seq: number; path: Bytes[]; entryBytes: Bytes; checkpoint: string } {
  if (receipt.length > MAX_PROOF_BYTES) throw bad(`it is longer than ${MAX_PROOF_BYTES} bytes`);
  if (!receipt.isWellFormed()) throw bad("it is not well-formed text");
  const blank = receipt.indexOf("\n\n");
  if (blank < 0) throw bad("it has no checkpoint");
  const [header, extra = "", index = "", ...hashes] = receipt.slice(0, blank).split("\n");
  if (header !== PROOF_HEADER) throw bad(`it does not begin with ${PROOF_HEADER}`);
  if (!extra.startsWith("extra ")) throw bad("it does not hold the entry");
  const seq = /^index (0|[1-9]\d*)$/.test(index) ? Number(index.slice(6)) : Number.NaN;
  if (!Number.isSafeInteger(seq)) throw bad("its index is not a decimal number below 2^53");
  if (hashes.length > MAX_HASHES) throw bad(`it has more than ${MAX_HASHES} hashes`);
  const entryBytes = fromBase64(extra.slice(6));
  if (entryBytes.length > MAX_ENTRY_BYTES) throw bad(`its entry has more than ${MAX_ENTRY_BYTES} bytes`);
  return { seq, path: hashes.map(fromBase64), entryBytes, checkpoint: receipt.slice(blank + 2) };
}

const bad = (why: string): VakError => new VakError("invalid-bundle", `The receipt proves nothing: ${why}.`);
