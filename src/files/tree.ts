/** Trees of files that are kept apart, and how what changed in one comes into another. */
import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import { MAX_DEPTH, MAX_NAME } from "../protocol/bounds.ts";
import type { SeedFile } from "../protocol/messages.ts";

/** What is at a path. */
export type Item =
  | { type: "file"; size: number; digest: string }
  | { type: "directory" }
  | { type: "symlink"; target: string };

/** By path, as `a/b`, from the directory that it is of; each directory has an item too. */
export type Tree = Map<string, Item>;

/** What was found in a tree, with the contents of those files that were not known. */
export interface Found {
  tree: Tree;
  contents: Map<string, Uint8Array<ArrayBuffer>>;
  /** What is known to be true of it; absent where nothing is. */
  labels?: readonly string[];
}

/** What makes one tree like another where that one changed. */
export interface Plan {
  /** To be removed, what is in a directory before the directory. */
  remove: string[];
  /** To be made or written, a directory before what is in it. */
  put: string[];
  /** Changed in both, and not in the same way: to be left as they are. */
  conflicts: string[];
}

export function sameItem(a: Item | undefined, b: Item | undefined): boolean {
  if (a?.type !== b?.type) return false;
  if (a?.type === "file") return a.digest === (b as typeof a).digest;
  return a?.type !== "symlink" || a.target === (b as typeof a).target;
}

const encoder = new TextEncoder();

/** Orders paths so that what is in a directory comes right after it. */
const inOrder = (a: string, b: string): number => (a.replaceAll("/", "\0") < b.replaceAll("/", "\0") ? -1 : 1);
export const ordered = (paths: Iterable<string>): string[] => [...paths].sort(inOrder);

export const sameTree = (a: Tree, b: Tree): boolean =>
  a.size === b.size && [...a].every(([path, item]) => sameItem(item, b.get(path)));

/** @param base what both trees were like when they were last alike */
export function planChanges(from: Tree, to: Tree, base: Tree): Plan {
  const plan: Plan = { remove: [], put: [], conflicts: [] };
  for (const path of ordered(new Set([...from.keys(), ...base.keys()]))) {
    const [now, was, there] = [from.get(path), base.get(path), to.get(path)];
    if (sameItem(now, was) || sameItem(now, there)) continue;
    if (!sameItem(there, was)) {
      plan.conflicts.push(path);
      continue;
    }
    if (there && (there.type !== now?.type || there.type === "symlink")) plan.remove.unshift(path);
    if (now) plan.put.push(path);
  }
  return plan;
}

/** What two trees have in common becomes the base of their next comparison. */
export function agree(base: Tree, one: Tree, other: Tree): void {
  for (const path of new Set([...base.keys(), ...one.keys(), ...other.keys()])) {
    const item = one.get(path);
    if (!sameItem(item, other.get(path))) continue;
    if (item) base.set(path, item);
    else base.delete(path);
  }
}

/** As `agent.files.snapshot()` has it of an agent with just these files. */
export async function treeDigest(tree: Tree): Promise<string> {
  const lines = ordered(tree.keys()).map((path) => {
    const item = tree.get(path)!;
    if (item.type === "file") return `f ${item.size} ${item.digest} ${path}\0`;
    return item.type === "symlink" ? `l ${path}\0${item.target}\0` : `d ${path}\0`;
  });
  return sha256HexOf(encoder.encode(lines.join("")));
}

/** What a file holds, by a copy of it. */
export async function itemOf(file: SeedFile): Promise<Item> {
  if (!(file instanceof Uint8Array)) return file;
  return { type: "file", size: file.byteLength, digest: await sha256HexOf(file as Uint8Array<ArrayBuffer>) };
}

export const unavailable = (message: string, cause?: unknown): VakError =>
  new VakError("files-unavailable", message, { cause });

/** The path from the root of what is below a mount. */
export const join = (mount: string, path: string): string => (mount === "" ? path : `${mount}/${path}`);

/** Counts what is found, so that too much of it is noticed before it is read. */
export class Bounds {
  private readonly where: string;
  private readonly mount: string;
  private bytesLeft: number;
  private namesLeft: number;

  /** @param mount its path from the root */
  constructor(mount: string, bytes: number, names: number) {
    this.where = `The mount /${mount}`;
    this.mount = mount;
    this.bytesLeft = bytes;
    this.namesLeft = names;
  }

  /** @throws VakError `files-unavailable` for a path that no agent can have, and past either bound */
  take(path: string, bytes = 0): void {
    const { where } = this;
    const parts = join(this.mount, path).split("/");
    const bad = parts.some(
      (part) =>
        part === "" || part === "." || part === ".." || part.includes("\0") || encoder.encode(part).length > MAX_NAME,
    );
    if (bad || !path.isWellFormed() || parts.length >= MAX_DEPTH || parts[0] === "dev") {
      throw unavailable(`${where} holds ${JSON.stringify(path.slice(0, 300))}, which no agent can have; move it away.`);
    }
    this.namesLeft--;
    this.bytesLeft -= bytes;
    if (this.namesLeft < 0) throw unavailable(`${where} holds more files than limits.fileCount allows.`);
    if (this.bytesLeft < 0) throw unavailable(`${where} holds more bytes than its quotaBytes allows.`);
  }
}

/** Runs what waits for the browser, a few at a time. */
export async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].reverse();
  const worker = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await work(next);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}
