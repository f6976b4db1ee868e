/**
 * C2SP tlog-proof: a receipt, which proves offline that one entry is in the log that a checkpoint speaks of. Its `extra`
 * line holds the entry itself, so that a receipt needs nothing beside it but the log's key.
 */
import { VakError } from "../errors.ts";
import { parseCheckpoint, type TreeHead } from "./checkpoint.ts";
import { fromBase64, toBase64, toUtf8 } from "./encoding.ts";
import { type Entry, parseEntry } from "./entry.ts";
import { type Bytes, type HashReader, inclusionProof, leafHash, RightEdge, verifyInclusion } from "./merkle.ts";
import { formatVkey, MAX_NOTE_BYTES, parseNote, parseVkey, verifyNote } from "./note.ts";
import { MAX_ENTRY_BYTES, splitHashes, TILE_HEIGHT, TILE_WIDTH } from "./tiles.ts";

const HEADER = "c2sp.org/tlog-proof@v1";
/** A path in a tree of at most 2^53 leaves, with room to spare. */
const MAX_HASHES = 63;
/** Characters in the longest receipt that is read. */
const MAX_PROOF = MAX_NOTE_BYTES + 2 * MAX_ENTRY_BYTES;

/** Where hashes and entries are read from. */
export interface TileSource {
  entries(from: number, end: number): Promise<Bytes[]>;
  /** A tile as far as it is stored; of level 0 only full ones. */
  tile(level: number, index: number): Promise<Bytes | undefined>;
}

/**
 * Reads the hashes of a log's perfect subtrees from its tiles. Each tile is read once.
 *
 * @throws VakError `log-corrupt`, when a hash is read that should be there and is not
 */
export function tileHashes(source: TileSource): HashReader {
  const tiles = new Map<string, Promise<Bytes[]>>();
  const load = async (level: number, index: number): Promise<Bytes[]> => {
    const tile = await source.tile(level, index);
    if (tile) return splitHashes(tile);
    const from = index * TILE_WIDTH;
    return level === 0 ? (await source.entries(from, from + TILE_WIDTH)).map(leafHash) : [];
  };
  return async (level, index) => {
    const row = Math.floor(level / TILE_HEIGHT);
    const width = 2 ** (level % TILE_HEIGHT);
    const first = index * width;
    const tile = Math.floor(first / TILE_WIDTH);
    const key = `${row}/${tile}`;
    if (!tiles.has(key)) tiles.set(key, load(row, tile));
    const hashes = (await tiles.get(key)!).slice(first % TILE_WIDTH, (first % TILE_WIDTH) + width);
    if (hashes.length !== width)
      throw new VakError("log-corrupt", `Hashes of tile ${tile}, level ${row}, are missing.`);
    const subtree = new RightEdge();
    for (const hash of hashes) subtree.append(hash);
    return subtree.root();
  };
}

/** A receipt for entry `seq` of the log under the checkpoint `note`, which covers `size` entries. */
export async function makeProof(source: TileSource, seq: number, note: string, size: number): Promise<string> {
  const [entry] = await source.entries(seq, seq + 1);
  if (!entry) throw new VakError("log-corrupt", `Entry ${seq} is missing.`);
  const path = await inclusionProof(seq, size, tileHashes(source));
  return [HEADER, `extra ${toBase64(entry)}`, `index ${seq}`, ...path.map(toBase64), "", note].join("\n");
}

/** What a receipt proves. */
export interface Proven extends TreeHead {
  seq: number;
  entry: Entry;
  /** The given keys (vkey) that signed the checkpoint. */
  keys: string[];
}

/**
 * Verifies a receipt: that a given key signed a checkpoint, and that the entry is where it says in that log.
 *
 * @param keys verifier keys (vkey) of the log, as you know them from elsewhere
 * @throws VakError `invalid-bundle` saying why it proves nothing; `invalid-argument` when a key is not one
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
  if (receipt.length > MAX_PROOF) throw bad(`it is longer than ${MAX_PROOF} characters`);
  if (!receipt.isWellFormed()) throw bad("it is not well-formed text");
  const blank = receipt.indexOf("\n\n");
  if (blank < 0) throw bad("it has no checkpoint");
  const [header, extra = "", index = "", ...hashes] = receipt.slice(0, blank).split("\n");
  if (header !== HEADER) throw bad(`it does not begin with ${HEADER}`);
  if (!extra.startsWith("extra ")) throw bad("it does not hold the entry");
  const seq = /^index (0|[1-9]\d*)$/.test(index) ? Number(index.slice(6)) : Number.NaN;
  if (!Number.isSafeInteger(seq)) throw bad("its index is not a decimal number below 2^53");
  if (hashes.length > MAX_HASHES) throw bad(`it has more than ${MAX_HASHES} hashes`);
  const entryBytes = fromBase64(extra.slice(6));
  if (entryBytes.length > MAX_ENTRY_BYTES) throw bad(`its entry has more than ${MAX_ENTRY_BYTES} bytes`);
  return { seq, path: hashes.map(fromBase64), entryBytes, checkpoint: receipt.slice(blank + 2) };
}

const bad = (why: string): VakError => new VakError("invalid-bundle", `The receipt proves nothing: ${why}.`);
