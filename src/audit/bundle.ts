/**
 * A bundle: a log as files, with what is needed to verify it offline.
 *
 *     checkpoint                          the signed tree head
 *     tile/entries/…, tile/<level>/…      the entries and hashes, as C2SP tlog-tiles says
 *     keys.txt                            the verifier keys (vkey), one a line, the one that signs last
 *     rotations/<seq>                     for each change of key, the checkpoint that both keys signed
 *     policies/<digest>.cedar             each policy that was loaded, or
 *     policies/<digest>.json                  with what belongs to it; and what policies stand on
 *     values/<seq>.json                   the private values that were not erased (see `value.ts`)
 *     programs/<digest>.wasm              the programs that the exporter chose to put in, so that runs can be replayed
 */

import { Zip, ZipPassThrough } from "fflate";
import { type Bytes, joinBytes } from "../base/bytes.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { decodeEntries, encodeEntries } from "../tlog/entry-bundle.ts";
import { leafHash } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { hashesAt, parseTilePath, tilePath, tilesOf } from "../tlog/tiles.ts";
import type { Digest } from "./vocabulary/common.ts";

export const CHECKPOINT_PATH = "checkpoint";
export const KEYS_PATH = "keys.txt";
/** What is no Cedar text is an object in canonical JSON: a policy with what belongs to it, or what policies stand on. */
export const policyPath = (digest: Digest, json: boolean): string => `policies/${digest}.${json ? "json" : "cedar"}`;
export const rotationPath = (seq: number): string => `rotations/${seq}`;
export const valuePath = (seq: number): string => `values/${seq}.json`;
/** What {@link valuePath} was given; undefined for any other path. */
export function valueSeq(path: string): number | undefined {
  const seq = Number(path.slice("values/".length, -".json".length));
  return valuePath(seq) === path ? seq : undefined;
}

export const programPath = (digest: Digest): string => `programs/${digest}.wasm`;
/** What the meter takes. */
export const MAX_PROGRAM_BYTES = 256 * 2 ** 20;

/** Files that a zip without the Zip64 extension can list. */
const MAX_ZIP_FILES = 65_535;
/** The text of a policy or of what policies stand on, and the first entry that loaded it. */
export interface LoadedText {
  digest: Digest;
  text: string;
  seq: number;
  /** It is no policy, but what policies stand on. */
  base?: true;
}

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

/** Told how far an export has come. */
export interface ExportProgress {
  /** Entries in it so far, and in all. */
  entries: number;
  size: number;
  /** Bytes of files so far. */
  bytes: number;
}

/**
 * The files of the bundle of a log's first `size` entries. The log may grow meanwhile.
 *
 * @param since leaves out the files that the bundle of the first `since` entries has too
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
      if (entries.length !== tile.width) throw new VakError("log-corrupt", `Entries from ${from} on are missing.`);
      yield { path: tilePath(tile), bytes: encodeEntries(entries) };
      // A level-0 tile is stored once it is full: the last one is made from its entries.
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

/** Bytes after which the parts of a zip are handed to the browser, which may keep them on disk. */
const SPILL_BYTES = 32 * 2 ** 20;

/**
 * A zip of the files, uncompressed, bit by bit: hashes do not compress, and the code that would compress the rest is not
 * small.
 *
 * @throws VakError `unsupported` when there are more files or bytes than a zip can hold
 */
export async function* zipChunks(files: AsyncIterable<BundleFile>): AsyncGenerator<Bytes> {
  let parts: Bytes[] = [];
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
      throw new VakError("unsupported", `That is too large for one zip: more than ${MAX_ZIP_FILES} files or 4 GiB.`);
    }
    yield* parts;
    parts = [];
  }
  zip.end();
  yield* parts;
}

/** As {@link zipChunks}, in one piece. */
export async function zipFiles(files: AsyncIterable<BundleFile>): Promise<Blob> {
  const type = "application/zip";
  let parts: BlobPart[] = [];
  let bytes = 0;
  for await (const chunk of zipChunks(files)) {
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes < SPILL_BYTES) continue;
    parts = [new Blob(parts)];
    bytes = 0;
  }
  return new Blob(parts, { type });
}

/**
 * Writes the files into a directory. What an earlier export there has of tiles that have grown since goes, and of values
 * that were erased since.
 *
 * @throws what the file system throws
 */
export async function writeFiles(files: AsyncIterable<BundleFile>, root: FileSystemDirectoryHandle): Promise<void> {
  for await (const { path, bytes } of files) {
    const folders = path.split("/");
    const name = folders.pop()!;
    let folder = root;
    for (const step of folders) folder = await folder.getDirectoryHandle(step, { create: true });
    const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await writable.write(bytes);
    await writable.close();
    const tile = parseTilePath(path);
    if (tile?.level === "entries") for (const seq of erasedIn(bytes, tile.width)) await remove(root, valuePath(seq));
    if (tile?.width === TILE_WIDTH) {
      await folder.removeEntry(`${name}.p`, { recursive: true }).catch(() => {}); // most often there is none
    } else if (tile) {
      for await (const other of folder.keys()) if (other !== name) await folder.removeEntry(other);
    }
  }
}

/** `seq` of the values that these entries say are erased. */
function erasedIn(bundle: Bytes, width: number): number[] {
  const entries = decodeEntries(bundle, width).map(fromUtf8);
  // Canonical JSON has the fields in order, and this is the first.
  return entries.filter((text) => text.startsWith('{"erases":')).map((text) => JSON.parse(text).erases);
}

async function remove(root: FileSystemDirectoryHandle, path: string): Promise<void> {
  const [folder, name] = path.split("/");
  try {
    await (await root.getDirectoryHandle(folder!)).removeEntry(name!);
  } catch (error) {
    if ((error as Error).name !== "NotFoundError") throw error;
  }
}
