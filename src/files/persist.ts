/**
 * A mount that is kept under a name in this origin, in the origin private file system (https://fs.spec.whatwg.org)
 * rather than IndexedDB, since that holds whole files of any size and writes each of them atomically.
 *
 * The folder `vak.files.<name>` holds the content of each file as `blob.<SHA-256>`, and for each generation of the tree
 * a list of its paths, as `tree.<number>.<SHA-256 of the list>`. A list is written after the contents that it names,
 * and the list before it is kept. So there is always a whole tree: the last one or, if a tab died while writing, the
 * one before.
 */

import { type Lock, takeLock } from "../base/lock.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import type { Bounds } from "./bounds.ts";
import { refusal, unavailable } from "./mount-errors.ts";
import type { Changes, Failure, Found, Source } from "./source.ts";
import type { Tree } from "./tree.ts";
import { parseList, writeList } from "./tree-list.ts";
import { writeTo } from "./write-to.ts";

/** The most bytes that a list may have: enough for a million names. */
const MAX_LIST = 512 * 2 ** 20;
/** Milliseconds that a tab which is being reloaded or closed may take to release its lock. */
const LOCK_MS = 1_000;
/** How many times a tree is read at most, while another tab keeps replacing it. */
const ATTEMPTS = 3;

const folderOf = (name: string): string => `vak.files.${name}`;
const blobOf = (digest: string): string => `blob.${digest}`;

interface Generation {
  number: number;
  file: string;
  digest: string;
}

/** @throws VakError `invalid-argument` */
export function checkPersistName(name: unknown): string {
  if (typeof name === "string" && /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$/.test(name)) return name;
  throw new VakError(
    "invalid-argument",
    "The name of kept files must have 1 to 64 letters, digits, dots, - and _, and not begin with a dot.",
  );
}

/** Whether this browser has a file system that a page can write. */
export const canPersist = (): boolean =>
  typeof FileSystemFileHandle === "function" &&
  "createWritable" in FileSystemFileHandle.prototype &&
  typeof navigator.storage?.getDirectory === "function";

export class PersistSource implements Source {
  readonly write?: (changes: Changes) => Promise<Failure[]>;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #where: string;
  readonly #lock: Lock | undefined;
  #stolen = false;
  #number = 0;
  /** The digests of the blobs that are known to be whole. */
  readonly #whole = new Set<string>();
  /** The digests that the previous generation needs. */
  #previous: string[] = [];

  private constructor(folder: FileSystemDirectoryHandle, where: string, lock: Lock | undefined) {
    this.#folder = folder;
    this.#where = where;
    this.#lock = lock;
    if (!lock) return;
    lock.onStolen = () => {
      this.#stolen = true;
    };
    this.write = (changes) => this.#replace(changes);
  }

  /**
   * Opens what is kept under a name, for writing unless it is read-only. There is one writer at a time.
   *
   * @throws VakError `files-in-use`, `files-unavailable`, `unsupported`
   */
  static async open(name: string, readOnly: boolean): Promise<PersistSource> {
    const where = `what is kept as ${JSON.stringify(name)}`;
    if (!canPersist()) {
      const message =
        "This browser has no origin private file system that a page can write (createWritable): mount a directory instead.";
      throw new VakError("unsupported", message);
    }
    const lock = readOnly ? undefined : await takeWithin(`vak:files:${name}`, LOCK_MS);
    if (!readOnly && !lock) {
      const message = `Another tab or agent is writing ${where}. Close it there, or mount it read-only.`;
      throw new VakError("files-in-use", message);
    }
    try {
      const root = await navigator.storage.getDirectory();
      return new PersistSource(await root.getDirectoryHandle(folderOf(name), { create: true }), where, lock);
    } catch (cause) {
      await lock?.release();
      if ((cause as Error).name !== "SecurityError") throw refusal(where, cause);
      const message = "This browser keeps no files for this page: use a window that is not private, and allow storage.";
      throw new VakError("unsupported", message, { cause });
    }
  }

  async release(): Promise<void> {
    await this.#lock?.release();
  }

  async read(known: Tree, bounds: () => Bounds): Promise<Found> {
    // Nobody else can write it, so what this wrote last is still there.
    if (this.#lock && this.#number > 0 && !this.#stolen) return { tree: new Map(known), contents: new Map() };
    try {
      for (let attempt = 1; ; attempt++) {
        const found = await this.#newest(known, bounds);
        if (found) return found;
        if (attempt === ATTEMPTS || this.#lock)
          throw unavailable(`No generation of ${this.#where} is whole: it is damaged. Keep files under another name.`);
      }
    } catch (cause) {
      throw refusal(this.#where, cause);
    }
  }

  async #generations(): Promise<{ lists: Generation[]; others: string[] }> {
    const lists: Generation[] = [];
    const others: string[] = [];
    for await (const file of this.#folder.keys()) {
      const [, number, digest] = /^tree\.(\d{1,15})\.([0-9a-f]{64})$/.exec(file) ?? [];
      if (number && digest) lists.push({ number: Number(number), file, digest });
      else others.push(file);
    }
    return { lists: lists.sort((a, b) => b.number - a.number), others };
  }

  /** The newest whole generation; undefined if there are generations, but none is whole. */
  async #newest(known: Tree, bounds: () => Bounds): Promise<Found | undefined> {
    const { lists } = await this.#generations();
    this.#number = Math.max(this.#number, lists[0]?.number ?? 0);
    for (const { file, digest } of lists) {
      const bytes = await this.#bytesOf(file, MAX_LIST);
      if (!bytes || (await sha256HexOf(bytes)) !== digest) continue;
      const { tree, labels } = parseList(bytes);
      const limits = bounds();
      for (const [path, item] of tree) limits.take(path, item.type === "file" ? item.size : 0);
      const contents = await this.#contentsOf(tree, known);
      if (!contents) continue;
      this.#previous = digestsOf(tree);
      return { tree, contents, labels };
    }
    return lists.length === 0 ? { tree: new Map(), contents: new Map() } : undefined;
  }

  /** The contents of files that are not known yet; undefined if one of them is missing or damaged. */
  async #contentsOf(tree: Tree, known: Tree): Promise<Found["contents"] | undefined> {
    const contents: Found["contents"] = new Map();
    const missing: string[] = [];
    await each([...tree], async ([path, item]) => {
      const before = known.get(path);
      if (item.type !== "file" || (before?.type === "file" && before.digest === item.digest)) return;
      const bytes = await this.#bytesOf(blobOf(item.digest), item.size);
      if (bytes?.byteLength !== item.size || (await sha256HexOf(bytes)) !== item.digest) missing.push(path);
      else {
        contents.set(path, bytes);
        this.#whole.add(item.digest);
      }
    });
    return missing.length === 0 ? contents : undefined;
  }

  async #bytesOf(name: string, most: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const file = await (await this.#folder.getFileHandle(name)).getFile();
      return file.size > most ? undefined : new Uint8Array(await file.arrayBuffer());
    } catch (cause) {
      if (["NotFoundError", "NotReadableError"].includes((cause as Error).name)) return undefined;
      throw cause;
    }
  }

  async #replace({ put, tree, labels }: Changes): Promise<Failure[]> {
    if (this.#stolen)
      throw new VakError(
        "files-in-use",
        `Another tab took the lock of ${this.#where}: close it there, then spawn the agent again.`,
      );
    try {
      const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const [path, file] of put) {
        const item = tree.get(path);
        if (item?.type === "file" && !this.#whole.has(item.digest))
          blobs.set(item.digest, file as Uint8Array<ArrayBuffer>);
      }
      await each([...blobs], async ([digest, bytes]) => {
        await this.#writeFile(blobOf(digest), bytes);
        this.#whole.add(digest);
      });
      const list = writeList(tree, labels);
      this.#number++;
      await this.#writeFile(`tree.${this.#number}.${await sha256HexOf(list)}`, list);
    } catch (cause) {
      throw refusal(this.#where, cause);
    }
    // It does no harm if what is no longer needed cannot be removed.
    await this.#tidy(tree).catch(() => {});
    return [];
  }

  /** Removes all but the last two generations. */
  async #tidy(tree: Tree): Promise<void> {
    const digests = digestsOf(tree);
    const needed = new Set([...digests, ...this.#previous]);
    this.#previous = digests;
    const { lists, others } = await this.#generations();
    const gone = lists.slice(2).map(({ file }) => file);
    for (const file of others) {
      const digest = /^blob\.([0-9a-f]{64})$/.exec(file)?.[1];
      if (digest && needed.has(digest)) continue;
      if (digest) this.#whole.delete(digest);
      gone.push(file);
    }
    await each(gone, (file) => this.#folder.removeEntry(file));
  }

  async #writeFile(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await writeTo(await this.#folder.getFileHandle(name, { create: true }), bytes);
  }
}

const digestsOf = (tree: Tree): string[] =>
  [...tree.values()].flatMap((item) => (item.type === "file" ? [item.digest] : []));

async function takeWithin(name: string, ms: number): Promise<Lock | undefined> {
  const signal = AbortSignal.timeout(ms);
  try {
    return await takeLock(name, { signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Runs work that waits for the browser on all items, eight at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].reverse();
  const worker = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await work(next);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}
