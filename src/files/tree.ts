/** Trees of files: what is at each path, in a fixed order, and the digest of it all. */

import { sha256HexOf } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import type { SeedFile, TreeEntry } from "../protocol/messages.ts";

/** What is at a path. */
export type Item =
  | { type: "file"; size: number; digest: string }
  | { type: "directory" }
  | { type: "symlink"; target: string };

/** Items by their path below the tree's root, such as `a/b`; directories are items too. */
export type Tree = Map<string, Item>;

export function sameItem(a: Item | undefined, b: Item | undefined): boolean {
  if (a?.type !== b?.type) return false;
  if (a?.type === "file") return a.digest === (b as typeof a).digest;
  return a?.type !== "symlink" || a.target === (b as typeof a).target;
}

/** Orders paths so that a directory's content comes right after it. */
const inOrder = (a: string, b: string): number => (a.replaceAll("/", "\0") < b.replaceAll("/", "\0") ? -1 : 1);
export const ordered = (paths: Iterable<string>): string[] => [...paths].sort(inOrder);

export const sameTree = (a: Tree, b: Tree): boolean =>
  a.size === b.size && [...a].every(([path, item]) => sameItem(item, b.get(path)));

/** The digest that `agent.files.snapshot()` gives for an agent with exactly these files. */
export async function treeDigest(tree: Tree): Promise<string> {
  const lines = ordered(tree.keys()).map((path) => {
    const item = tree.get(path)!;
    if (item.type === "file") return `f ${item.size} ${item.digest} ${path}\0`;
    return item.type === "symlink" ? `l ${path}\0${item.target}\0` : `d ${path}\0`;
  });
  return sha256HexOf(toUtf8(lines.join("")));
}

/** The item of a file with this content. */
export async function itemOf(file: SeedFile): Promise<Item> {
  if (!(file instanceof Uint8Array)) return file;
  return { type: "file", size: file.byteLength, digest: await sha256HexOf(file as Uint8Array<ArrayBuffer>) };
}

/** A tree as a worker reports it; only where there are bytes, the digests are not the worker's own claim. */
export async function treeOf(entries: readonly TreeEntry[]): Promise<Tree> {
  const tree: Tree = new Map();
  for (const { path, type, size, digest, target, bytes } of entries) {
    if (type === "file") tree.set(path, { type, size, digest: bytes ? await sha256HexOf(bytes) : digest! });
    else tree.set(path, type === "symlink" ? { type, target: target! } : { type });
  }
  return tree;
}

/** Turns a path below a mount into one from the root. */
export const join = (mount: string, path: string): string => (mount === "" ? path : `${mount}/${path}`);
