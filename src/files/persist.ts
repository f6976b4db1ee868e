/**
 * A mount that is kept under a name in this origin, and survives a reload. It is in the origin private file system, in the
 * folder `vak.files.<name>`: the content of each file as `blob.<SHA-256>`, and of each generation of the tree a list of
 * what is where, as `tree.<number>.<SHA-256 of the list>`. A list is written after the contents that it speaks of, and the
 * list before it is kept: so there is always a whole tree, the last or, where a tab died in the middle, the one before.
 */

import { isDigest } from "../base/guards.ts";
import { type Lock, takeLock } from "../base/lock.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import { areLabels } from "../labels.ts";
import { MAX_PATH } from "../protocol/bounds.ts";
import { type Changes, type Failure, refusal, type Source } from "./source.ts";
import { type Bounds, each, type Found, type Item, type Tree, unavailable } from "./tree.ts";

/** Bytes that a list may have: those of a million names. */
const MAX_LIST = 512 * 2 ** 20;
/** ms that a tab which is reloaded or closed just now may take to let go of what it has. */
const PARTING = 1_000;
/** Times that a tree is read which another tab replaces meanwhile. */
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
  throw new VakError("invalid-argument", "The name of kept files has 1 to 64 letters, digits, dots, - and _.");
}

/** Whether this browser has what it takes. */
export const canPersist = (): boolean =>
  typeof FileSystemFileHandle === "function" &&
  "createWritable" in FileSystemFileHandle.prototype &&
  typeof navigator.storage?.getDirectory === "function";

export class PersistSource implements Source {
  readonly write?: (changes: Changes) => Promise<Failure[]>;
  private readonly folder: FileSystemDirectoryHandle;
  private readonly where: string;
  private readonly lock: Lock | undefined;
  private stolen = false;
  private number = 0;
  /** Digests of the blobs that are there whole, as far as is known. */
  private readonly whole = new Set<string>();
  /** What the generation before needs. */
  private previous: string[] = [];

  private constructor(folder: FileSystemDirectoryHandle, where: string, lock: Lock | undefined) {
    this.folder = folder;
    this.where = where;
    this.lock = lock;
    if (!lock) return;
    lock.onStolen = () => {
      this.stolen = true;
    };
    this.write = (changes) => this.replace(changes);
  }

  /**
   * Opens what is kept under a name, to write it unless it is read-only. One writes at a time.
   *
   * @throws VakError `files-in-use`, `files-unavailable`, `unsupported`
   */
  static async open(name: string, readOnly: boolean): Promise<PersistSource> {
    const where = `what is kept as ${JSON.stringify(name)}`;
    if (!canPersist()) {
      const message = "This browser has no origin private file system that a page can write (createWritable).";
      throw new VakError("unsupported", message);
    }
    const lock = readOnly ? undefined : await takeWithin(`vak:files:${name}`, PARTING);
    if (!readOnly && !lock) {
      const message = `Another tab or agent writes ${where}. Close it there, or mount it read-only.`;
      throw new VakError("files-in-use", message);
    }
    try {
      const root = await navigator.storage.getDirectory();
      return new PersistSource(await root.getDirectoryHandle(folderOf(name), { create: true }), where, lock);
    } catch (cause) {
      await lock?.release();
      if ((cause as Error).name !== "SecurityError") throw refusal(where, cause);
      const message = "This browser keeps no files for this page: the window is a private one, or storage is blocked.";
      throw new VakError("unsupported", message, { cause });
    }
  }

  async release(): Promise<void> {
    await this.lock?.release();
  }

  async read(known: Tree, bounds: () => Bounds): Promise<Found> {
    // Nobody else writes: what is there is what was written.
    if (this.lock && this.number > 0 && !this.stolen) return { tree: new Map(known), contents: new Map() };
    try {
      for (let attempt = 1; ; attempt++) {
        const found = await this.newest(known, bounds);
        if (found) return found;
        if (attempt === ATTEMPTS || this.lock) throw unavailable(`Of ${this.where} nothing is whole: it is damaged.`);
      }
    } catch (cause) {
      throw refusal(this.where, cause);
    }
  }

  private async generations(): Promise<{ lists: Generation[]; others: string[] }> {
    const lists: Generation[] = [];
    const others: string[] = [];
    for await (const file of this.folder.keys()) {
      const [, number, digest] = /^tree\.(\d{1,15})\.([0-9a-f]{64})$/.exec(file) ?? [];
      if (number && digest) lists.push({ number: Number(number), file, digest });
      else others.push(file);
    }
    return { lists: lists.sort((a, b) => b.number - a.number), others };
  }

  /** The newest generation that is whole; undefined where none of those that there are is. */
  private async newest(known: Tree, bounds: () => Bounds): Promise<Found | undefined> {
    const { lists } = await this.generations();
    this.number = Math.max(this.number, lists[0]?.number ?? 0);
    for (const { file, digest } of lists) {
      const bytes = await this.bytesOf(file, MAX_LIST);
      if (!bytes || (await sha256HexOf(bytes)) !== digest) continue;
      const { tree, labels } = parseList(bytes);
      const limits = bounds();
      for (const [path, item] of tree) limits.take(path, item.type === "file" ? item.size : 0);
      const contents = await this.contentsOf(tree, known);
      if (!contents) continue;
      this.previous = digestsOf(tree);
      return { tree, contents, labels };
    }
    return lists.length === 0 ? { tree: new Map(), contents: new Map() } : undefined;
  }

  /** The contents of files that are not known; undefined where one is not there, or not whole. */
  private async contentsOf(tree: Tree, known: Tree): Promise<Found["contents"] | undefined> {
    const contents: Found["contents"] = new Map();
    const missing: string[] = [];
    await each([...tree], async ([path, item]) => {
      const before = known.get(path);
      if (item.type !== "file" || (before?.type === "file" && before.digest === item.digest)) return;
      const bytes = await this.bytesOf(blobOf(item.digest), item.size);
      if (bytes?.byteLength !== item.size || (await sha256HexOf(bytes)) !== item.digest) missing.push(path);
      else {
        contents.set(path, bytes);
        this.whole.add(item.digest);
      }
    });
    return missing.length === 0 ? contents : undefined;
  }

  private async bytesOf(name: string, most: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const file = await (await this.folder.getFileHandle(name)).getFile();
      return file.size > most ? undefined : new Uint8Array(await file.arrayBuffer());
    } catch (cause) {
      if (["NotFoundError", "NotReadableError"].includes((cause as Error).name)) return undefined;
      throw cause;
    }
  }

  private async replace({ put, tree, labels }: Changes): Promise<Failure[]> {
    if (this.stolen) throw new VakError("files-in-use", `Another has taken the right to write ${this.where}.`);
    try {
      const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const [path, file] of put) {
        const item = tree.get(path);
        if (item?.type === "file" && !this.whole.has(item.digest))
          blobs.set(item.digest, file as Uint8Array<ArrayBuffer>);
      }
      await each([...blobs], async ([digest, bytes]) => {
        await this.writeFile(blobOf(digest), bytes);
        this.whole.add(digest);
      });
      const list = writeList(tree, labels);
      this.number++;
      await this.writeFile(`tree.${this.number}.${await sha256HexOf(list)}`, list);
    } catch (cause) {
      throw refusal(this.where, cause);
    }
    // What nobody needs any more may stay where it cannot be removed.
    await this.tidy(tree).catch(() => {});
    return [];
  }

  /** Leaves the last two generations. */
  private async tidy(tree: Tree): Promise<void> {
    const digests = digestsOf(tree);
    const needed = new Set([...digests, ...this.previous]);
    this.previous = digests;
    const { lists, others } = await this.generations();
    const gone = lists.slice(2).map(({ file }) => file);
    for (const file of others) {
      const digest = /^blob\.([0-9a-f]{64})$/.exec(file)?.[1];
      if (digest && needed.has(digest)) continue;
      if (digest) this.whole.delete(digest);
      gone.push(file);
    }
    await each(gone, (file) => this.folder.removeEntry(file));
  }

  private async writeFile(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const stream = await (await this.folder.getFileHandle(name, { create: true })).createWritable();
    await stream.write(bytes);
    await stream.close();
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

/** As JSON: each of `files` an array, of its path and `f`, size and digest; `d`; or `l` and where it leads. */
export function writeList(tree: Tree, labels: readonly string[]): Uint8Array<ArrayBuffer> {
  const files = [...tree].map(([path, item]) => {
    if (item.type === "file") return [path, "f", item.size, item.digest];
    return item.type === "symlink" ? [path, "l", item.target] : [path, "d"];
  });
  return new TextEncoder().encode(JSON.stringify({ labels, files }));
}

/**
 * Reads what {@link writeList} writes.
 *
 * @throws VakError `files-unavailable`
 */
export function parseList(bytes: Uint8Array): { tree: Tree; labels: readonly string[] } {
  const bad = () => unavailable("A list of kept files is none: it is damaged.");
  let list: { labels?: unknown; files?: unknown } | null;
  try {
    list = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw bad();
  }
  const { labels, files } = list ?? {};
  if (!Array.isArray(files) || !Array.isArray(labels)) throw bad();
  if (labels.length > 0 && !areLabels(labels)) throw bad();
  const tree: Tree = new Map();
  for (const line of files) {
    const item = Array.isArray(line) ? parseItem(line) : undefined;
    const path: unknown = item && (line as unknown[])[0];
    if (!item || typeof path !== "string" || path.length > MAX_PATH * 8 || tree.has(path)) throw bad();
    tree.set(path, item);
  }
  return { tree, labels };
}

function parseItem([, type, first, second, ...more]: unknown[]): Item | undefined {
  if (more.length > 0) return undefined;
  if (type === "f" && Number.isSafeInteger(first) && (first as number) >= 0 && isDigest(second)) {
    return { type: "file", size: first as number, digest: second };
  }
  if (type === "l" && typeof first === "string" && first.length <= MAX_PATH && second === undefined) {
    return { type: "symlink", target: first };
  }
  return type === "d" && first === undefined ? { type: "directory" } : undefined;
}
