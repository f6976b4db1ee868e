/** Writes the files of a bundle as a zip or into a directory. */
import { Zip, ZipPassThrough } from "fflate";
import type { Bytes } from "../base/bytes.ts";
import { fromUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { decodeEntries } from "../tlog/entry-bundle.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { parseTilePath } from "../tlog/tiles.ts";
import { valuePath } from "./bundle.ts";
import type { BundleFile } from "./bundle-files.ts";

/** The most files that a zip without the Zip64 extension can list. */
const MAX_ZIP_FILES = 65_535;
/** 4 GiB, less what the zip's directory may take. */
const MAX_ZIP_BYTES = 2 ** 32 - 2 ** 24;

/** After this many bytes the parts of a zip are handed to the browser, which may keep them on disk. */
const SPILL_BYTES = 32 * 2 ** 20;

/**
 * A zip of the files, chunk by chunk. It is not compressed: hashes do not compress, and the code to compress the rest
 * would not be small.
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
      throw new VakError(
        "unsupported",
        `This is too large for one zip, which holds ${MAX_ZIP_FILES} files and 4 GiB at most. Export it in parts.`,
      );
    }
    yield* parts;
    parts = [];
  }
  zip.end();
  yield* parts;
}

/** The whole of {@link zipChunks}. */
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
 * Writes the files into a directory, and removes from an earlier export there the tiles that have grown since and the
 * values that were erased since.
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
      await folder.removeEntry(`${name}.p`, { recursive: true }).catch(() => {}); // usually there is none
    } else if (tile) {
      for await (const other of folder.keys()) if (other !== name) await folder.removeEntry(other);
    }
  }
}

/** `seq` of the values that these entries erase. */
function erasedIn(entryBundle: Bytes, width: number): number[] {
  const entries = decodeEntries(entryBundle, width).map(fromUtf8);
  // Canonical JSON orders the fields, and this is the first.
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
