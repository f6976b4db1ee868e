/** What is read of a log's storage, and what is seldom written: erased values, changes of key. */
import type { LoadedText } from "../audit/bundle.ts";
import type { Bytes } from "../base/bytes.ts";
import {
  answer,
  type Committed,
  entryKeys,
  type Identity,
  packValues,
  type Rotation,
  type Schema,
  type Store,
  type Values,
} from "./store.ts";
import type { Head } from "./writer.ts";

/** A key for a number, by which records are in order. */
const rotationKey = (seq: number): string => `rotation ${String(seq).padStart(16, "0")}`;

export class Stored {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The `seq` of the last entry there is, or -1. */
  async lastSeq(): Promise<number> {
    const cursor = await answer(this.#store.reading("entries").openCursor(entryKeys(), "prev"));
    return cursor ? (cursor.key as number) + unpack(cursor.value).length - 1 : -1;
  }

  /** The entries from `from` up to, not including, `end`. */
  async entries(from: number, end: number): Promise<Bytes[]> {
    if (from >= end) return [];
    const { first, records } = await this.#around("entries", from, end);
    return records.flatMap(unpack).slice(from - first, end - first);
  }

  async entry(seq: number): Promise<Bytes | undefined> {
    return (await this.entries(seq, seq + 1))[0];
  }

  async tile(level: number, index: number): Promise<Bytes | undefined> {
    return answer(this.#store.reading("tiles").get([level, index]));
  }

  async value(seq: number): Promise<Bytes | undefined> {
    return (await this.values(seq, seq + 1))[0]?.file;
  }

  /** The values kept beside entries from `from` up to, not including, `end`, in order. */
  async values(from: number, end: number): Promise<{ seq: number; file: Bytes }[]> {
    const [few, others] = await Promise.all([this.#around("entries", from, end), this.#around("values", from, end)]);
    return [...few.records.flatMap(valuesWith), ...others.records.flatMap(unpackValues)]
      .filter(({ seq }) => seq >= from && seq < end)
      .sort((a, b) => a.seq - b.seq);
  }

  /** The records that have something from `from` up to `end`, and the key of the first. */
  async #around<N extends "entries" | "values">(
    name: N,
    from: number,
    end: number,
  ): Promise<{ first: number; records: Exclude<Schema[N]["value"], Head>[] }> {
    const store = this.#store.reading(name);
    const cursor = await answer(store.openKeyCursor(IDBKeyRange.upperBound(from), "prev"));
    const first = (cursor?.key as number | undefined) ?? from;
    return { first, records: await answer(store.getAll(IDBKeyRange.bound(first, end, false, true))) };
  }

  async policies(): Promise<LoadedText[]> {
    return answer(this.#store.reading("policies").getAll());
  }

  async rotations(): Promise<Rotation[]> {
    return answer(this.#store.reading("meta").getAll(IDBKeyRange.bound(rotationKey(0), "rotation ~")));
  }
}

/** What was stored cannot be trusted to be what was written, so this never throws: whoever hashes it will know. */
function unpack(record: Committed): Bytes[] {
  const bundle = record instanceof Uint8Array ? record : (record?.bundle ?? []);
  const entries: Bytes[] = [];
  for (let at = 0; at + 2 <= bundle.length; ) {
    const end = at + 2 + ((bundle[at]! << 8) | bundle[at + 1]!);
    entries.push(bundle.slice(at + 2, end));
    at = end;
  }
  return entries;
}

function unpackValues({ seqs, ends, bytes }: Values): { seq: number; file: Bytes }[] {
  return seqs.map((seq, i) => ({ seq, file: bytes.slice(ends[i - 1] ?? 0, ends[i]) }));
}

/** The values that are stored with entries. */
function valuesWith(record: Committed): { seq: number; file: Bytes }[] {
  return record instanceof Uint8Array ? [] : unpackValues(record.values);
}

/** Rewrites the records that have these values without them, one after the other. */
export function eraseValues(transaction: IDBTransaction, seqs: readonly number[]): void {
  const [seq, ...rest] = seqs;
  if (seq === undefined) return;
  const without = (values: { seq: number; file: Bytes }[]) => values.filter((value) => value.seq !== seq);
  const around = (store: "entries" | "values", rewrite: (cursor: IDBCursorWithValue) => void, then: () => void) => {
    const found = transaction.objectStore(store).openCursor(IDBKeyRange.upperBound(seq), "prev");
    found.onsuccess = () => {
      if (found.result) rewrite(found.result);
      then();
    };
  };
  const withEntries = (cursor: IDBCursorWithValue) => {
    const few = valuesWith(cursor.value);
    const left = without(few);
    if (left.length < few.length) cursor.update({ ...cursor.value, values: packValues(left) });
  };
  const others = (cursor: IDBCursorWithValue) => {
    const all = unpackValues(cursor.value);
    const left = without(all);
    if (left.length === 0) cursor.delete();
    else if (left.length < all.length) cursor.update(packValues(left));
  };
  around("entries", withEntries, () => around("values", others, () => eraseValues(transaction, rest)));
}

export function writeRotation(transaction: IDBTransaction, identity: Identity, rotation: Rotation): void {
  const meta = transaction.objectStore("meta");
  meta.put(identity, "identity");
  meta.put(rotation.note, "checkpoint");
  meta.add(rotation, rotationKey(rotation.seq));
}
