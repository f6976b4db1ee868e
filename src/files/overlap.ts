/** Refuses mounts that overlap each other, or what vak keeps itself. */

import { VakError } from "../errors.ts";
import type { Tree } from "./tree.ts";

/** A directory that is to be mounted. */
export interface MountedDirectory {
  path: string;
  readOnly: boolean;
  handle: FileSystemDirectoryHandle;
}

/** @throws VakError `invalid-argument` for a directory that vak or another mount writes */
export async function checkDirectories(directories: readonly MountedDirectory[]): Promise<void> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  for (const { path, handle } of directories) {
    const below = await root?.resolve(handle).catch(() => null);
    if (below && (below.length === 0 || below[0]!.startsWith("vak."))) {
      const message = `The mount /${path} is a directory in which vak keeps other things: mount one of its own instead.`;
      throw new VakError("invalid-argument", message);
    }
  }
  for (const [i, one] of directories.entries()) {
    for (const other of directories.slice(i + 1)) {
      if (one.readOnly && other.readOnly) continue;
      if ((await one.handle.resolve(other.handle)) === null && (await other.handle.resolve(one.handle)) === null)
        continue;
      const message = `The mounts /${one.path} and /${other.path} overlap: mount separate directories, or both read-only.`;
      throw new VakError("invalid-argument", message);
    }
  }
}

/** @throws VakError `invalid-argument` if what is kept for the root has files where another mount is */
export function checkOverlap(mounts: readonly { path: string; base: Tree }[]): void {
  const root = mounts.find(({ path }) => path === "");
  for (const { path } of mounts) {
    if (path === "" || !root) continue;
    const item = root.base.get(path);
    const full = [...root.base.keys()].some((other) => other.startsWith(`${path}/`));
    if (!full && (item === undefined || item.type === "directory")) continue;
    throw new VakError(
      "invalid-argument",
      `The mount / holds files at ${path}, where another mount belongs: move that mount, or the files.`,
    );
  }
}
