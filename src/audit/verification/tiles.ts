/** Compares the hash tiles of a bundle (C2SP tlog-tiles) with the hashes of its entries. */
import type { Bytes } from "../../base/bytes.ts";
import { HASH_BYTES, leafHash, RightEdge } from "../../tlog/merkle.ts";
import { TILE_HEIGHT, TILE_WIDTH } from "../../tlog/sizes.ts";
import { tilePath } from "../../tlog/tiles.ts";
import type { Files } from "./files.ts";
import type { Findings } from "./findings.ts";

export class TileCheck {
  readonly #files: Files;
  readonly #findings: Findings;
  /** The tree of the entries so far. */
  readonly tree = new RightEdge();
  /** Per level, the hashes of the tile that is being filled, and its index. */
  readonly #tiles: { index: number; hashes: Bytes[] }[] = [];
  /** Tiles that are full and not compared yet. */
  readonly #full: { level: number; index: number; hashes: Bytes[] }[] = [];

  constructor(files: Files, findings: Findings) {
    this.#files = files;
    this.#findings = findings;
  }

  /** Adds an entry. Returns a promise only where a tile has to be read: there are many entries. */
  append(seq: number, entry: Uint8Array): Promise<void> | undefined {
    this.tree.append(leafHash(entry), (level, hash) => {
      if (level % TILE_HEIGHT === 0) this.#addHash(level / TILE_HEIGHT, hash, seq);
    });
    return this.#full.length > 0 ? this.#compareFull() : undefined;
  }

  /** Compares the tiles at the right edge, once all entries are added. */
  async end(): Promise<void> {
    for (const [level, { index, hashes }] of this.#tiles.entries()) {
      if (hashes.length > 0) await this.#compare(level, index, hashes);
    }
  }

  #addHash(level: number, hash: Bytes, seq: number): void {
    this.#tiles[level] ??= { index: 0, hashes: [] };
    const tile = this.#tiles[level];
    tile.index = Math.floor(seq / TILE_WIDTH ** (level + 1));
    tile.hashes.push(hash);
    if (tile.hashes.length === TILE_WIDTH) {
      this.#full.push({ level, index: tile.index, hashes: tile.hashes });
      tile.hashes = [];
    }
  }

  async #compareFull(): Promise<void> {
    for (const { level, index, hashes } of this.#full.splice(0)) await this.#compare(level, index, hashes);
  }

  async #compare(level: number, index: number, hashes: readonly Bytes[]): Promise<void> {
    const path = tilePath({ level, index, width: hashes.length });
    const bytes = await this.#files.require(path, TILE_WIDTH * HASH_BYTES);
    if (!bytes) return;
    if (bytes.length !== hashes.length * HASH_BYTES) {
      this.#findings.add(path, `it has ${bytes.length} bytes, not ${hashes.length * HASH_BYTES}`);
      return;
    }
    for (const [i, hash] of hashes.entries()) {
      if (hasHashAt(bytes, i * HASH_BYTES, hash)) continue;
      const below = index * TILE_WIDTH + i;
      const what = level === 0 ? `entry ${below}` : `tile ${below} of level ${level - 1}`;
      this.#findings.add(path, `its hash ${i} is not that of ${what}: one of the two was changed`);
    }
  }
}

function hasHashAt(bytes: Uint8Array, at: number, hash: Bytes): boolean {
  for (let i = 0; i < HASH_BYTES; i++) if (bytes[at + i] !== hash[i]) return false;
  return true;
}
