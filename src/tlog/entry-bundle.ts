/** C2SP tlog-tiles: how entries stand one behind the other in a file. */
import type { Bytes } from "../base/bytes.ts";
import { VakError } from "../errors.ts";
import { MAX_ENTRY_BYTES } from "./sizes.ts";

/**
 * An entry bundle: per entry its length in two bytes, big-endian, then its bytes.
 *
 * @throws VakError `invalid-argument` when an entry is longer than {@link MAX_ENTRY_BYTES}
 */
export function encodeEntries(entries: readonly Uint8Array[]): Bytes {
  const bundle = new Uint8Array(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES) {
      throw new VakError("invalid-argument", `An entry has ${entry.length} bytes; at most ${MAX_ENTRY_BYTES} fit.`);
    }
    bundle[at] = entry.length >> 8;
    bundle[at + 1] = entry.length & 0xff;
    bundle.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bundle;
}

/**
 * The `count` entries of a bundle.
 *
 * @throws VakError `invalid-bundle` when the bundle is cut short or goes on after them
 */
export function decodeEntries(bundle: Uint8Array, count: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 2 > bundle.length) throw new VakError("invalid-bundle", `It ends after ${i} of ${count} entries.`);
    const end = at + 2 + ((bundle[at]! << 8) | bundle[at + 1]!);
    if (end > bundle.length) throw new VakError("invalid-bundle", `It ends within the entry at place ${i}.`);
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  if (at !== bundle.length) {
    throw new VakError("invalid-bundle", `It goes on for ${bundle.length - at} bytes after its ${count} entries.`);
  }
  return entries;
}
