/**
 * A second place that remembers each log, in the origin private file system rather than IndexedDB, so that it survives
 * a database that is lost or rolled back, and shows it. It proves nothing against someone who can delete both; see
 * `anchor.ts` for that.
 *
 * It remembers a log by the name of an empty file, `<id>.<size>.<root>`: a file either exists or does not, even if the
 * browser is killed, and WebKit does not let a page write into files.
 */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { within } from "../base/time.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";

const folderOf = (name: string): string => `vak.log.${name}`;

/** Milliseconds that the file system has to answer; after that, nothing is known. */
const ANSWER_MS = 5_000;

/** A log's origin is `vak.invalid/<id>/<name>`. */
const originOf = (id: string, name: string): string => `vak.invalid/${id}/${name}`;

/** The result of `work`; undefined if there is no such file system, nothing in it, or no answer in time. */
const inTime = <T>(work: () => Promise<T>): Promise<T | undefined> =>
  within(ANSWER_MS, Promise.resolve().then(work), () => new Error("it did not answer")).catch(() => undefined);

/** The largest tree that is remembered of the log of that name, if any. */
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

/** Replaces what is remembered of the log. Never throws: this is the second place, not the first. */
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
