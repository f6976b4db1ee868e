/** Resolves paths: from a directory, along names and symbolic links, and never out of that directory. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { toUtf8 } from "../../base/utf8.ts";
import { MAX_NAME } from "../../protocol/bounds.ts";
import { fail } from "../preview1/errno.ts";
import { Directory, type Node, Symlink } from "./nodes.ts";

/** How many symbolic links are followed, and steps taken, for one path; past either, ELOOP. */
const MAX_LINKS = 40;
const MAX_STEPS = 4096;
/** Any name up to this length, in UTF-16 units, fits in {@link MAX_NAME} bytes of UTF-8. */
const SHORT_NAME = MAX_NAME / 3;

/** Where a path leads. */
export interface ResolvedPath {
  parent: Directory;
  /** Null if the path ends in `.` or `..`. */
  name: string | null;
  node: Node | undefined;
  /** Whether the path ends in a slash, so that it can only name a directory. */
  slash: boolean;
}

/**
 * Finds what `path` names, or the place where it could be created. Symbolic links on the way are followed; one at the
 * end only with `follow`, or if a slash comes after it.
 *
 * @throws Errno ENOTCAPABLE if the path or a link on it leads out of `base`, or a link out of the mount that it is in
 */
export function resolve(base: Directory, path: string, follow = false): ResolvedPath {
  if (path === "") fail(wasi.ERRNO_NOENT);
  const slash = path.endsWith("/");
  /** The parts still to be walked, the next one last. */
  const parts = split(path);
  /** While a link is followed, how many parts of the path come after it; otherwise -1. */
  let after = -1;
  let links = 0;
  let steps = 0;
  let parent = base;
  let node: Node | undefined = base;
  let name: string | null = null;
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    if (++steps > MAX_STEPS) fail(wasi.ERRNO_LOOP);
    if (parts.length < after) after = -1;
    if (node === undefined) fail(wasi.ERRNO_NOENT);
    if (!(node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
    if (part === "." || part === "..") {
      if (part === "..") {
        // Confined to the directory that the path starts from, as a capability should be.
        if (node === base || node.parent === null) fail(wasi.ERRNO_NOTCAPABLE);
        if (after >= 0 && node.parent.mount !== node.mount) fail(wasi.ERRNO_NOTCAPABLE);
        node = node.parent;
      }
      parent = (node as Directory).parent ?? base;
      name = null;
      continue;
    }
    if (part.length > SHORT_NAME && toUtf8(part).length > MAX_NAME) fail(wasi.ERRNO_NAMETOOLONG);
    parent = node;
    name = part;
    node = parent.entries.get(part);
    if (node instanceof Symlink && (parts.length > 0 || follow || slash)) {
      if (++links > MAX_LINKS) fail(wasi.ERRNO_LOOP);
      if (after < 0) after = parts.length;
      for (const part of split(node.target)) parts.push(part);
      node = parent;
    } else if (after >= 0 && node && node.mount !== parent.mount) fail(wasi.ERRNO_NOTCAPABLE);
  }
  if (slash && node !== undefined && !(node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
  return { parent, name, node, slash };
}

/** As {@link resolve}, for the entry itself: a symbolic link is not followed, even if a slash comes after it. */
export function resolveItself(base: Directory, path: string): ResolvedPath {
  const bare = path.replace(/\/+$/, "");
  const place = resolve(base, bare === "" ? path : bare);
  const slash = bare !== path;
  if (slash && place.node && !(place.node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
  return { ...place, slash };
}

/** A path's parts, the first one last. A trailing slash is for the caller to see. */
function split(path: string): string[] {
  if (path.startsWith("/")) fail(wasi.ERRNO_NOTCAPABLE);
  return path
    .split("/")
    .filter((part) => part !== "")
    .reverse();
}
