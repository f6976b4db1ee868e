/** Looks up single entries, tiles and values in a log's database, whose records hold several of them. */

import type { LoadedText } from "../audit/bundle-files.ts";
import type { Bytes } from "../base/bytes.ts";
import type { Database } from "./database.ts";
import {
  entryKeys,
  type PackedEntries,
  type PackedValues,
  type Rotation,
  rotationKeys,
  type Value,
} from "./records.ts";
import { unpackEntries, unpackValues, valuesWith } from "./unpacking.ts";

export class Lookup {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The `seq` of the last entry that is stored, or -1. */
  lastSeq(): Promise<number> {
    return this.#database.read("entries", async (store) => {
      const cursor = await store.openCursor(entryKeys(), "prev");
      return cursor ? (cursor.key as number) + unpackEntries(cursor.value as PackedEntries).length - 1 : -1;
    });
  }

  /** The entries from `from` up to, not including, `end`. */
  async entries(from: number, end: number): Promise<Bytes[]> {
    if (from >= end) return [];
    const { first, records } = await this.#around("entries", from, end);
    return records.flatMap(unpackEntries).slice(from - first, end - first);
  }

  async entry(seq: number): Promise<Bytes | undefined> {
    return (await this.entries(seq, seq + 1))[0];
  }

  tile(level: number, index: number): Promise<Bytes | undefined> {
    return this.#database.read("tiles", (tiles) => tiles.get([level, index]));
  }

  async value(seq: number): Promise<Bytes | undefined> {
    return (await this.values(seq, seq + 1))[0]?.file;
  }

  /** The values of the entries from `from` up to, not including, `end`, in order. */
  async values(from: number, end: number): Promise<Value[]> {
    const [small, large] = await Promise.all([this.#around("entries", from, end), this.#around("values", from, end)]);
    return [...small.records.flatMap(valuesWith), ...large.records.flatMap(unpackValues)]
      .filter(({ seq }) => seq >= from && seq < end)
      .sort((a, b) => a.seq - b.seq);
  }

  /** The records that hold anything from `from` up to `end`, and the key of the first. */
  #around(name: "entries", from: number, end: number): Promise<{ first: number; records: PackedEntries[] }>;
  #around(name: "values", from: number, end: number): Promise<{ first: number; records: PackedValues[] }>;
  #around(name: "entries" | "values", from: number, end: number): Promise<{ first: number; records: unknown[] }> {
    return this.#database.read(name, async (store) => {
      const cursor = await store.openKeyCursor(IDBKeyRange.upperBound(from), "prev");
      const first = (cursor?.key as number | undefined) ?? from;
      return { first, records: await store.getAll(IDBKeyRange.bound(first, end, false, true)) };
    });
  }

  policies(): Promise<LoadedText[]> {
    return this.#database.read("policies", (policies) => policies.getAll());
  }

  rotations(): Promise<Rotation[]> {
    return this.#database.read("meta", (meta) => meta.getAll(rotationKeys())) as Promise<Rotation[]>;
  }
}
