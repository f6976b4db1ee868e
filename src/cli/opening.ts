/** Opens bundles that are files or directories on disk. */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Bundle, type ByteSource, joinBundles, openBundle } from "../audit/index.ts";
import { VakError } from "../errors.ts";
import { Misuse } from "./arguments.ts";

/** The most files that a directory may hold. */
const MAX_FILES = 1_000_000;

/** Opens a bundle of these paths, zips or directories: an export and its increments, the oldest first. */
export async function withBundle<T>(paths: readonly string[], use: (bundle: Bundle) => Promise<T>): Promise<T> {
  const bundles: Bundle[] = [];
  const files: FileHandle[] = [];
  try {
    for (const path of paths) {
      const found = await stat(path).catch(unreadable(path));
      if (found.isDirectory()) bundles.push(openDirectory(path));
      else if (!found.isFile()) throw new Misuse(`${path} is neither a file nor a directory.`);
      else {
        const file = await open(path).catch(unreadable(path));
        files.push(file);
        bundles.push(await openBundle(fileSource(file, found.size)).catch(naming(path)));
      }
    }
    return await use(bundles.length === 1 ? bundles[0]! : await joinBundles(bundles));
  } finally {
    for (const file of files) await file.close();
  }
}

/**
 * Reads the beginning of a file that the caller named, as text.
 *
 * @param most bytes that are read
 */
export async function readBeginning(path: string, most: number): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(unreadable(path));
  try {
    if (!(await file.stat()).isFile()) throw new Misuse(`${path} is not a file.`);
    const { buffer, bytesRead } = await file.read(new Uint8Array(most), 0, most, 0);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

/** For the `catch` of what opens one of several bundles: names the bundle that is wrong. */
function naming(path: string): (error: unknown) => never {
  return (cause) => {
    if (!(cause instanceof VakError)) throw cause;
    throw new VakError(cause.code, `${path}: ${cause.message}`, { cause });
  };
}

/** For the `catch` of what reads a file that the caller named. */
export function unreadable(path: string): (error: NodeJS.ErrnoException) => never {
  return ({ code, message }) => {
    if (code === "ENOENT" || code === "ENOTDIR") throw new Misuse(`There is no file ${path}.`);
    throw new Misuse(code === "EISDIR" ? `${path} is a directory.` : `${path} cannot be read: ${message}`);
  };
}

function fileSource(file: FileHandle, size: number): ByteSource {
  return {
    size,
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
      if (bytesRead !== bytes.length) throw new VakError("invalid-bundle", "The file is cut short.");
      return bytes;
    },
  };
}

function openDirectory(root: string): Bundle {
  return {
    async paths() {
      const paths: string[] = [];
      const pending = [""];
      for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
        for (const item of await readdir(join(root, folder), { withFileTypes: true })) {
          // A symbolic link is listed as a file, which `read` then refuses: a bundle holds only what it holds.
          if (item.isDirectory()) pending.push(`${folder}${item.name}/`);
          else paths.push(`${folder}${item.name}`);
          if (paths.length > MAX_FILES) throw new VakError("invalid-bundle", `There are more than ${MAX_FILES} files.`);
        }
      }
      return paths;
    },
    async read(path, maxBytes) {
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      const file = await open(join(root, path), flags).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw new VakError("invalid-bundle", `It cannot be opened: ${error.message}`, { cause: error });
      });
      if (!file) return undefined;
      try {
        const found = await file.stat();
        if (!found.isFile()) throw new VakError("invalid-bundle", "It is not a plain file.");
        const { size } = found;
        if (size > maxBytes)
          throw new VakError("invalid-bundle", `It has ${size} bytes; at most ${maxBytes} are read.`);
        return await fileSource(file, size).read(0, size);
      } finally {
        await file.close();
      }
    },
  };
}
