/** A whole tree of files at once: walked in order of path, described, and digested. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { toUtf8 } from "../../base/utf8.ts";
import type { FileStat } from "../../protocol/messages.ts";
import { Directory, File, type Mount, type Node, Symlink } from "./nodes.ts";

/** @param within the mount to stay in; undefined for all of them */
export function* walk(base: Directory, within?: Mount | null): Generator<[string, Node]> {
  const waiting: [string, Node][] = [["", base]];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [path, node] = next;
    if (node instanceof Directory) {
      if (node.sealed || (within !== undefined && node.mount !== within)) continue;
      // One by one: a guest may make more names than a function can take as arguments.
      for (const [name, child] of node.sorted().reverse()) waiting.push([path ? `${path}/${name}` : name, child]);
    }
    if (node !== base) yield next;
  }
}

/**
 * SHA-256 over everything in order of path, hex: a directory as `d PATH NUL`, a file as `f SIZE SHA256 PATH NUL`, a
 * symbolic link as `l PATH NUL TARGET NUL`. Times are not part of it.
 */
export function treeDigest(root: Directory): string {
  const hash = sha256.create();
  for (const [path, node] of walk(root)) {
    const line =
      node instanceof File
        ? `f ${node.size} ${node.sha256()} ${path}\0`
        : node instanceof Symlink
          ? `l ${path}\0${node.target}\0`
          : `d ${path}\0`;
    hash.update(toUtf8(line));
  }
  return bytesToHex(hash.digest());
}

export function describe(path: string, node: Node): FileStat {
  if (node instanceof Symlink) return { path, type: "symlink", size: node.bytes, target: node.target };
  return node instanceof File ? { path, type: "file", size: node.size } : { path, type: "directory", size: 0 };
}
