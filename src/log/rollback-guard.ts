/**
 * A second place in the browser that remembers each log: should its database be lost, or be an older one, it shows. It is
 * as near as the database, so it proves nothing against those who can delete both; see `anchor.ts` for that.
 *
 * What is remembered is the name of an empty file in the origin private file system, `<id>.<size>.<root>`, since that
 * is there or not, never half, also where the browser is killed, and WebKit writes no files for a page.
 */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { within } from "../base/time.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";

const folderOf = (name: string): string => `vak.log.${name}`;

/** Milliseconds that it may take; what it cannot tell by then it does not know. */
const MEMORY_MS = 5_000;

/** A log's origin is `vak.invalid/<id>/<name>`. */
const originOf = (id: string, name: string): string => `vak.invalid/${id}/${name}`;

/** What the work gives; undefined where there is no such file system, nothing in it, or no answer in time. */
const inTime = <T>(work: () => Promise<T>): Promise<T | undefined> =>
  within(MEMORY_MS, Promise.resolve().then(work), () => new Error("it did not answer")).catch(() => undefined);

/** The largest tree of the log of that name that is remembered, if any is, and if the browser has such a memory. */
export function recall(name: string): Promise<TreeHead | undefined> {
  return inTime(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(folderOf(name));
    let last: TreeHead | undefined;
    for await (const file of folder.keys()) {
      const [, id, size, root] = /^([0-9a-f]{16})\.(\d{1,15})\.([0-9a-f]{64})$/.exec(file) ?? [];
      if (!id || !size || !root || (last && last.size > Number(size))) continue;
      last = { origin: originOf(id, name), size: Number(size), root: hexToBytes(root) };
    }
    return last;
  });
}

/** Remembers this tree instead of what was remembered of the log. Never throws: it is the second place, not the first. */
export async function remember(name: string, { origin, size, root: hash }: TreeHead): Promise<void> {
  await inTime(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(folderOf(name), { create: true });
    const file = `${origin.split("/")[1]}.${size}.${bytesToHex(hash)}`;
    await folder.getFileHandle(file, { create: true });
    const files: string[] = [];
    for await (const other of folder.keys()) files.push(other);
    for (const other of files) if (other !== file) await folder.removeEntry(other);
  });
}

export async function forget(name: string): Promise<void> {
  await inTime(async () => (await navigator.storage.getDirectory()).removeEntry(folderOf(name), { recursive: true }));
}
