/**
 * A mount that is kept in a directory of the page's: one that a person picked, or one of the origin private file system
 * (https://fs.spec.whatwg.org). Anyone may change it at any time.
 */

import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import type { SeedFile } from "../protocol/messages.ts";
import type { Bounds } from "./bounds.ts";
import { refusal } from "./mount-errors.ts";
import type { Changes, Failure, Found, Source } from "./source.ts";
import type { Tree } from "./tree.ts";
import { writeTo } from "./write-to.ts";

/** The names of files that are being written, by vak and by Chromium; agents never see them. */
const TEMPORARY = /^\.vak-[0-9a-f-]{36}\.tmp$/;
const SWAP = /\.crswap$/;
/** Milliseconds after which such a file must be left over from a tab that died. */
const STALE = 3_600_000;
/**
 * Milliseconds within which a file may change and keep its time, on the coarsest of file systems: a file that was
 * younger than that when it was read is read again.
 */
const TIME_RESOLUTION_MS = 2_000;
/** How many times a directory is read at most, while it keeps changing. */
const ATTEMPTS = 3;

/** A file as it was when its content was read. */
interface Seen {
  size: number;
  lastModified: number;
  digest: string;
  /** When it was read, ms since 1970. */
  at: number;
}

/** Methods that only some browsers have, and TypeScript does not know. */
interface Handle {
  queryPermission?(options: { mode: "read" | "readwrite" }): Promise<PermissionState>;
  move?(name: string): Promise<void>;
}

/** A file has changed since it was read. */
class Changed extends Error {}

export class DirectorySource implements Source {
  readonly write?: (changes: Changes) => Promise<Failure[]>;
  readonly #root: FileSystemDirectoryHandle;
  readonly #where: string;
  readonly #mode: "read" | "readwrite";
  #seen = new Map<string, Seen>();

  /** @param where the directory's name in messages */
  constructor(root: FileSystemDirectoryHandle, where: string, readOnly: boolean) {
    this.#root = root;
    this.#where = where;
    this.#mode = readOnly ? "read" : "readwrite";
    if (!readOnly) this.write = (changes) => this.#writeAll(changes);
  }

  async read(known: Tree, bounds: () => Bounds): Promise<Found> {
    await this.#permitted();
    for (let attempt = 1; ; attempt++) {
      try {
        const found: Found = { tree: new Map(), contents: new Map() };
        const seen = new Map<string, Seen>();
        await this.#walk(this.#root, "", known, bounds(), found, seen);
        this.#seen = seen;
        return found;
      } catch (cause) {
        const moving = (cause as Error).name === "NotFoundError" || (cause as Error).name === "NotReadableError";
        if (!moving || attempt === ATTEMPTS) throw refusal(this.#where, cause);
      }
    }
  }

  /** @throws VakError `files-denied` */
  async #permitted(): Promise<void> {
    const [where, mode] = [this.#where, this.#mode];
    const state = await (this.#root as Handle).queryPermission?.({ mode });
    if (state === undefined || state === "granted") return;
    const how = `handle.requestPermission({ mode: "${mode}" })`;
    throw new VakError("files-denied", `This page has no permission to use ${where}. Ask for it, on a click: ${how}.`);
  }

  async #walk(
    directory: FileSystemDirectoryHandle,
    prefix: string,
    known: Tree,
    bounds: Bounds,
    found: Found,
    seen: Map<string, Seen>,
  ): Promise<void> {
    for await (const [name, handle] of directory.entries()) {
      if (SWAP.test(name)) continue;
      if (TEMPORARY.test(name)) {
        if (this.write) await removeStale(directory, name);
        continue;
      }
      const path = prefix + name;
      if (handle.kind === "directory") {
        bounds.take(path);
        found.tree.set(path, { type: "directory" });
        await this.#walk(handle as FileSystemDirectoryHandle, `${path}/`, known, bounds, found, seen);
        continue;
      }
      const at = Date.now();
      const file = await (handle as FileSystemFileHandle).getFile();
      const { size, lastModified } = file;
      bounds.take(path, size);
      const before = this.#seen.get(path);
      const item = known.get(path);
      const untouched = before?.size === size && before.lastModified === lastModified;
      if (
        untouched &&
        lastModified < before.at - TIME_RESOLUTION_MS &&
        item?.type === "file" &&
        item.digest === before.digest
      ) {
        seen.set(path, before);
        found.tree.set(path, { type: "file", size, digest: before.digest });
        continue;
      }
      const bytes = new Uint8Array(await file.arrayBuffer());
      const digest = await sha256HexOf(bytes);
      seen.set(path, { size, lastModified, digest, at });
      found.tree.set(path, { type: "file", size, digest });
      if (item?.type !== "file" || item.digest !== digest) found.contents.set(path, bytes);
    }
  }

  async #writeAll({ remove, put }: Changes): Promise<Failure[]> {
    await this.#permitted();
    const failures: Failure[] = [];
    const attempt = async (path: string, work: () => Promise<void>) => {
      try {
        await work();
      } catch (cause) {
        const { name, message } = cause as Error;
        const conflict =
          cause instanceof Changed || name === "TypeMismatchError" || name === "InvalidModificationError";
        // A TypeError means a name that the file system cannot have; any other error ends the writing.
        if (!conflict && name !== "TypeError") throw refusal(this.#where, cause);
        failures.push({ path, conflict, why: conflict ? "it was changed there meanwhile" : message });
      }
    };
    for (const path of remove) await attempt(path, () => this.#removeOne(path));
    for (const [path, file] of put) await attempt(path, () => this.#putOne(path, file));
    return failures;
  }

  async #directoryOf(path: string, create: boolean): Promise<[FileSystemDirectoryHandle, string]> {
    const parts = path.split("/");
    const name = parts.pop()!;
    let directory = this.#root;
    for (const part of parts) directory = await directory.getDirectoryHandle(part, { create });
    return [directory, name];
  }

  async #removeOne(path: string): Promise<void> {
    try {
      const [directory, name] = await this.#directoryOf(path, false);
      if (!this.#seen.has(path)) await directory.getDirectoryHandle(name);
      else this.#assertAsSeen(path, await (await directory.getFileHandle(name)).getFile());
      // A directory's content was removed before it; if there is more by now, the browser refuses.
      await directory.removeEntry(name);
    } catch (cause) {
      if ((cause as Error).name !== "NotFoundError") throw cause;
    }
    this.#seen.delete(path);
  }

  async #putOne(path: string, file: SeedFile): Promise<void> {
    const [directory, name] = await this.#directoryOf(path, true);
    if (TEMPORARY.test(name) || SWAP.test(name))
      throw new TypeError("its name is reserved for files that are being written");
    if (!(file instanceof Uint8Array)) {
      if (file.type === "symlink") throw new TypeError("it is a link, which a directory cannot hold");
      await directory.getDirectoryHandle(name, { create: true });
      return;
    }
    // This also catches a name that the file system considers the same as another: that file is not ours.
    const there = await fileIn(directory, name);
    this.#assertAsSeen(path, there);
    const bytes = file as Uint8Array<ArrayBuffer>;
    const handle = there ? await directory.getFileHandle(name) : await this.#create(directory, name, bytes);
    // A stream's content replaces the file's all at once, when the stream is closed.
    if (there) await writeTo(handle, bytes);
    const { size, lastModified } = await handle.getFile();
    this.#seen.set(path, { size, lastModified, digest: await sha256HexOf(bytes), at: Date.now() });
  }

  /** @throws Changed */
  #assertAsSeen(path: string, file: File | undefined): void {
    const seen = this.#seen.get(path);
    if (file?.size !== seen?.size || file?.lastModified !== seen?.lastModified) throw new Changed();
  }

  /** Creates a file together with its content; where the browser cannot move files, it is empty for a moment. */
  async #create(
    directory: FileSystemDirectoryHandle,
    name: string,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<FileSystemFileHandle> {
    const temporary = `.vak-${crypto.randomUUID()}.tmp`;
    const handle = await directory.getFileHandle(temporary, { create: true });
    try {
      await writeTo(handle, bytes);
      await (handle as Handle).move?.(name);
      if (handle.name === name) return handle;
    } catch (cause) {
      await directory.removeEntry(temporary).catch(() => {});
      if ((cause as Error).name === "QuotaExceededError") throw cause;
    }
    await directory.removeEntry(temporary).catch(() => {});
    const direct = await directory.getFileHandle(name, { create: true });
    await writeTo(direct, bytes);
    return direct;
  }
}

/** Removes what a tab that died left over. */
async function removeStale(directory: FileSystemDirectoryHandle, name: string): Promise<void> {
  const file = await fileIn(directory, name).catch(() => undefined);
  if (file && Date.now() - file.lastModified > STALE) await directory.removeEntry(name).catch(() => {});
}

async function fileIn(directory: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await directory.getFileHandle(name)).getFile();
  } catch (cause) {
    if ((cause as Error).name === "NotFoundError") return undefined;
    throw cause;
  }
}
