/** Makes the files of a bundle from a log. */
import { type Bytes, joinBytes } from "../base/bytes.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { encodeEntries } from "../tlog/entry-bundle.ts";
import { leafHash } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { hashesAt, tilePath, tilesOf } from "../tlog/tiles.ts";
import { CHECKPOINT_PATH, KEYS_PATH, policyPath, rotationPath, valuePath } from "./bundle.ts";
import type { Digest } from "./vocabulary/common.ts";

/** The text of a policy, or of what policies are based on, and the first entry that loaded it. */
export interface LoadedText {
  digest: Digest;
  text: string;
  seq: number;
  /** It is not a policy, but what policies are based on. */
  base?: true;
}

export interface BundleFile {
  path: string;
  bytes: Bytes;
}

/** The log that {@link bundleFiles} exports. */
export interface LogSource {
  entries(from: number, end: number): Promise<Bytes[]>;
  /** The hashes that are stored of a tile. */
  tile(level: number, index: number): Promise<Bytes | undefined>;
  values(from: number, end: number): Promise<{ seq: number; file: Bytes }[]>;
  policies(): Promise<LoadedText[]>;
  /** Changes of key, in order. */
  rotations(): Promise<{ seq: number; previous: string; note: string }[]>;
}

/** How far an export has come. */
export interface ExportProgress {
  /** Entries in it so far, and in total. */
  entries: number;
  size: number;
  /** Bytes of files so far. */
  bytes: number;
}

/**
 * The files of the bundle of a log's first `size` entries. The log may grow meanwhile.
 *
 * @param since leaves out the files that the bundle of the first `since` entries also has
 */
export async function* bundleFiles(
  source: LogSource,
  { note, size, vkey, since = 0 }: { note: string; size: number; vkey: string; since?: number },
): AsyncGenerator<BundleFile> {
  yield { path: CHECKPOINT_PATH, bytes: toUtf8(note) };
  const rotations = await source.rotations();
  const before = rotations.filter(({ seq }) => seq < size);
  const keys = [...before.map(({ previous }) => previous), rotations[before.length]?.previous ?? vkey];
  yield { path: KEYS_PATH, bytes: toUtf8(keys.map((key) => `${key}\n`).join("")) };
  for (const { seq, note } of before) yield { path: rotationPath(seq), bytes: toUtf8(note) };
  for (const { digest, text, seq } of await source.policies()) {
    if (seq >= since && seq < size) yield { path: policyPath(digest, text.startsWith("{")), bytes: toUtf8(text) };
  }
  let lastHashes = new Uint8Array();
  for (const tile of tilesOf(size)) {
    const from = tile.index * TILE_WIDTH;
    if (from + tile.width <= hashesAt(tile.level === "entries" ? 0 : tile.level, since)) continue;
    if (tile.level === "entries") {
      const entries = await source.entries(from, from + tile.width);
      if (entries.length !== tile.width)
        throw new VakError("log-corrupt", `Entries are missing from number ${from} on.`);
      yield { path: tilePath(tile), bytes: encodeEntries(entries) };
      // A level-0 tile is stored when it is full: the last one is computed from its entries.
      if (tile.width < TILE_WIDTH) lastHashes = joinBytes(entries.map(leafHash));
      for (const { seq, file } of await source.values(Math.max(from, since), from + tile.width)) {
        yield { path: valuePath(seq), bytes: file };
      }
      continue;
    }
    const partial = tile.level === 0 && tile.width < TILE_WIDTH;
    const stored = partial ? lastHashes : await source.tile(tile.level, tile.index);
    const bytes = stored?.slice(0, tile.width * 32);
    if (bytes?.length !== tile.width * 32) throw new VakError("log-corrupt", `${tilePath(tile)} is missing.`);
    yield { path: tilePath(tile), bytes };
  }
}
