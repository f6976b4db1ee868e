/** Entry bundles (C2SP tlog-tiles): up to 256 entries in one file, each after its length. */
import type { Bytes } from "../base/bytes.ts";
import { VakError } from "../errors.ts";
import { MAX_ENTRY_BYTES, TILE_WIDTH } from "./sizes.ts";

/** The largest full bundle. */
export const MAX_ENTRY_BUNDLE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2);

/**
 * Encodes each entry as its length in two bytes, big-endian, and its bytes.
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
 * The `count` entries of an entry bundle.
 *
 * @throws VakError `invalid-bundle` when it is cut short or has more bytes after them
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
    throw new VakError("invalid-bundle", `There are ${bundle.length - at} bytes after its last entry.`);
  }
  return entries;
}
