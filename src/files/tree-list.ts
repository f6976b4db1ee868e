/** The format of the lists in which kept files are recorded: JSON that names every path, its type, size and digest. */

import { isCount, isDigest } from "../base/guards.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { areLabels } from "../labels.ts";
import { MAX_PATH } from "../protocol/bounds.ts";
import { unavailable } from "./mount-errors.ts";
import type { Item, Tree } from "./tree.ts";

/** Writes a list. Each of its `files` is an array: the path, then `f`, size and digest; `d`; or `l` and the target. */
export function writeList(tree: Tree, labels: readonly string[]): Uint8Array<ArrayBuffer> {
  const files = [...tree].map(([path, item]) => {
    if (item.type === "file") return [path, "f", item.size, item.digest];
    return item.type === "symlink" ? [path, "l", item.target] : [path, "d"];
  });
  return toUtf8(JSON.stringify({ labels, files }));
}

/**
 * Reads what {@link writeList} writes.
 *
 * @throws VakError `files-unavailable`
 */
export function parseList(bytes: Uint8Array): { tree: Tree; labels: readonly string[] } {
  const bad = () => unavailable("A list of kept files is damaged: it cannot be read.");
  let list: { labels?: unknown; files?: unknown } | null;
  try {
    list = JSON.parse(fromUtf8(bytes));
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
  if (type === "f" && isCount(first) && isDigest(second)) {
    return { type: "file", size: first, digest: second };
  }
  if (type === "l" && typeof first === "string" && first.length <= MAX_PATH && second === undefined) {
    return { type: "symlink", target: first };
  }
  return type === "d" && first === undefined ? { type: "directory" } : undefined;
}
