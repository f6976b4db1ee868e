/** Makes proofs about a log from its tiles: receipts (C2SP tlog-proof) and consistency proofs (RFC 6962 §2.1.2). */
import { toBase64 } from "../base/base64.ts";
import type { Bytes } from "../base/bytes.ts";
import { VakError } from "../errors.ts";
import { leafHash, RightEdge } from "./merkle.ts";
import { consistencyProof, type HashReader, inclusionProof } from "./merkle-proof.ts";
import { TILE_HEIGHT, TILE_WIDTH } from "./sizes.ts";
import { splitHashes } from "./tiles.ts";

/** The first line of a receipt. */
export const PROOF_HEADER = "c2sp.org/tlog-proof@v1";

/** A source of tiles and entries. */
export interface TileSource {
  entries(from: number, end: number): Promise<Bytes[]>;
  /** The hashes that are stored of a tile; at level 0 only full tiles are stored. */
  tile(level: number, index: number): Promise<Bytes | undefined>;
}

/**
 * Reads the hashes of a log's perfect subtrees from its tiles. Each tile is read once.
 *
 * @throws VakError `log-corrupt` when a hash that should be there is missing
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
  return [PROOF_HEADER, `extra ${toBase64(entry)}`, `index ${seq}`, ...path.map(toBase64), "", note].join("\n");
}

/** The proof that the log's first `newSize` entries begin with its first `oldSize`, which is not 0. */
export function proveConsistency(source: TileSource, oldSize: number, newSize: number): Promise<Bytes[]> {
  return consistencyProof(oldSize, newSize, tileHashes(source));
}
