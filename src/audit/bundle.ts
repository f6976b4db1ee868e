/**
 * A bundle: a log as files, with what is needed to verify it offline.
 *
 *     checkpoint                          the signed tree head
 *     tile/entries/…, tile/<level>/…      the entries and hashes, as C2SP tlog-tiles says
 *     keys.txt                            the verifier keys (vkey), one a line, the one that signs last
 *     rotations/<seq>                     for each change of key, the checkpoint that both keys signed
 *     policies/<digest>.cedar             each policy that was loaded
 *     values/<seq>.json                   the private values that were not erased (see `value.ts`)
 */
import { Zip, ZipPassThrough } from "fflate";
import { VakError } from "../errors.ts";
import { toUtf8 } from "./encoding.ts";
import type { Digest } from "./entry.ts";
import { type Bytes, leafHash } from "./merkle.ts";
import { encodeEntries, TILE_WIDTH, tilePath, tilesOf } from "./tiles.ts";
import type { LoadedText } from "./writer.ts";

export const CHECKPOINT_PATH = "checkpoint";
export const KEYS_PATH = "keys.txt";
export const policyPath = (digest: Digest): string => `policies/${digest}.cedar`;
export const rotationPath = (seq: number): string => `rotations/${seq}`;
export const valuePath = (seq: number): string => `values/${seq}.json`;

/** Files that a zip without the Zip64 extension can list. */
const MAX_ZIP_FILES = 65_535;
/** Below 4 GiB by what the zip's directory may take. */
const MAX_ZIP_BYTES = 2 ** 32 - 2 ** 24;

export interface BundleFile {
  path: string;
  bytes: Bytes;
}

/** Where {@link bundleFiles} takes a log from. */
export interface LogSource {
  entries(from: number, end: number): Promise<Bytes[]>;
  /** A tile as far as it is stored. */
  tile(level: number, index: number): Promise<Bytes | undefined>;
  values(from: number, end: number): Promise<{ seq: number; file: Bytes }[]>;
  policies(): Promise<LoadedText[]>;
  /** Changes of key, in order. */
  rotations(): Promise<{ seq: number; previous: string; note: string }[]>;
}

/** The files of the bundle of a log's first `size` entries. The log may grow meanwhile. */
export async function* bundleFiles(
  source: LogSource,
  { note, size, vkey }: { note: string; size: number; vkey: string },
): AsyncGenerator<BundleFile> {
  yield { path: CHECKPOINT_PATH, bytes: toUtf8(note) };
  const rotations = await source.rotations();
  const before = rotations.filter(({ seq }) => seq < size);
  const keys = [...before.map(({ previous }) => previous), rotations[before.length]?.previous ?? vkey];
  yield { path: KEYS_PATH, bytes: toUtf8(keys.map((key) => `${key}\n`).join("")) };
  for (const { seq, note } of before) yield { path: rotationPath(seq), bytes: toUtf8(note) };
  for (const { digest, text, seq } of await source.policies()) {
    if (seq < size) yield { path: policyPath(digest), bytes: toUtf8(text) };
  }
  let lastHashes = new Uint8Array();
  for (const tile of tilesOf(size)) {
    const from = tile.index * TILE_WIDTH;
    if (tile.level === "entries") {
      const entries = await source.entries(from, from + tile.width);
      if (entries.length !== tile.width) throw new VakError("log-corrupt", `Entries from ${from} on are missing.`);
      yield { path: tilePath(tile), bytes: encodeEntries(entries) };
      // A level-0 tile is stored once it is full: the last one is made from its entries.
      if (tile.width < TILE_WIDTH) lastHashes = concat(entries.map(leafHash));
      for (const { seq, file } of await source.values(from, from + tile.width)) {
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

/**
 * A zip of the files, uncompressed: hashes do not compress, and the code that would compress the rest is not small.
 *
 * @throws VakError `unsupported` when there are more files or bytes than a zip can hold
 */
export async function zipFiles(files: AsyncIterable<BundleFile>): Promise<Blob> {
  const parts: Bytes[] = [];
  let count = 0;
  let bytes = 0;
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    parts.push(chunk);
    bytes += chunk.length;
  });
  for await (const file of files) {
    const entry = new ZipPassThrough(file.path);
    zip.add(entry);
    entry.push(file.bytes, true);
    if (++count > MAX_ZIP_FILES || bytes > MAX_ZIP_BYTES) {
      throw new VakError("unsupported", `The log is too large for one zip: more than ${MAX_ZIP_FILES} files or 4 GiB.`);
    }
  }
  zip.end();
  return new Blob(parts, { type: "application/zip" });
}

function concat(hashes: Bytes[]): Bytes {
  const all = new Uint8Array(hashes.length * 32);
  hashes.forEach((hash, i) => {
    all.set(hash, i * 32);
  });
  return all;
}
