/**
 * Unpacks the entries and values in records of a log's database; apart from `records.ts`, since a writer never needs
 * it.
 */

import type { Bytes } from "../base/bytes.ts";
import type { PackedEntries, PackedValues, Value } from "./records.ts";

export function unpackValues({ seqs, ends, bytes }: PackedValues): Value[] {
  return seqs.map((seq, i) => ({ seq, file: bytes.slice(ends[i - 1] ?? 0, ends[i]) }));
}

/** The values that are stored with entries. */
export function valuesWith(record: PackedEntries): Value[] {
  return record instanceof Uint8Array ? [] : unpackValues(record.values);
}

/** Never throws, although the record may have been tampered with: whoever hashes the entries finds out. */
export function unpackEntries(record: PackedEntries): Bytes[] {
  const bundle = record instanceof Uint8Array ? record : (record?.bundle ?? []);
  const entries: Bytes[] = [];
  for (let at = 0; at + 2 <= bundle.length; ) {
    const end = at + 2 + ((bundle[at]! << 8) | bundle[at + 1]!);
    entries.push(bundle.slice(at + 2, end));
    at = end;
  }
  return entries;
}
