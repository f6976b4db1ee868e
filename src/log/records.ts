/** The format of a log's database: its object stores, their keys, and how values are packed into one record. */

import type { DBSchema } from "idb";
import type { LoadedText } from "../audit/bundle-files.ts";
import type { Digest } from "../audit/vocabulary/common.ts";
import { type Bytes, joinBytes } from "../base/bytes.ts";
import type { StoredKey } from "./signer.ts";
import type { Head } from "./writer.ts";

export interface Schema extends DBSchema {
  /**
   * Up to 256 entries that were committed together, as a C2SP entry bundle, by the `seq` of the first; small values are
   * stored with their entries. The head sorts after them, so that it shares their page of the database: every record
   * and every page that a commit touches costs time.
   */
  entries: { key: number | "head"; value: PackedEntries | Head };
  /** By level and index. */
  tiles: { key: [level: number, index: number]; value: Bytes };
  /** Larger values: up to 256 that were committed together, by the `seq` of the first. */
  values: { key: number; value: PackedValues };
  /** By digest. */
  policies: { key: Digest; value: LoadedText };
  /** `identity`, `checkpoint` (a signed note), and a {@link rotationKey} for each key rotation. */
  meta: { key: string; value: Identity | string | Rotation };
}

export const STORES = ["entries", "tiles", "values", "policies", "meta"] as const;
export type StoreName = (typeof STORES)[number];

/** An entry bundle, and the values of its entries if they are stored with it. */
export type PackedEntries = Bytes | { bundle: Bytes; values: PackedValues };

/** Values end to end: the `seq` of each, and the offset at which it ends. */
export interface PackedValues {
  seqs: number[];
  ends: number[];
  bytes: Bytes;
}

/** A private value, as a file of a bundle has it. */
export interface Value {
  seq: number;
  file: Bytes;
}

/** The log's origin and its current key. */
export interface Identity {
  origin: string;
  key: StoredKey;
}

/** A key rotation: the `seq` of its entry, the verifier key before it, and the checkpoint that both keys signed. */
export interface Rotation {
  seq: number;
  previous: string;
  note: string;
}

/** The keys of entries: numbers, which sort before strings. */
export const entryKeys = (): IDBKeyRange => IDBKeyRange.bound(0, Number.POSITIVE_INFINITY);

/** Padded, so that the keys sort as the numbers do. */
export const rotationKey = (seq: number): string => `rotation ${String(seq).padStart(16, "0")}`;

export const rotationKeys = (): IDBKeyRange => IDBKeyRange.bound(rotationKey(0), "rotation ~");

export function packValues(values: readonly Value[]): PackedValues {
  const ends: number[] = [];
  for (const { file } of values) ends.push((ends.at(-1) ?? 0) + file.length);
  return { seqs: values.map(({ seq }) => seq), ends, bytes: joinBytes(values.map(({ file }) => file)) };
}
