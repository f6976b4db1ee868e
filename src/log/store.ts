/** The log's storage in IndexedDB. It knows records, not what they mean. */

import type { LoadedText } from "../audit/bundle.ts";
import type { Digest } from "../audit/vocabulary/common.ts";
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { VakError } from "../errors.ts";
import { encodeEntries } from "../tlog/entry-bundle.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import type { StoredKey } from "./signer.ts";
import type { Batch, Head } from "./writer.ts";

export interface Schema {
  /**
   * What was committed together, 256 entries at most: as an entry bundle of C2SP has them, by the `seq` of the first. With
   * them their values, where these are few. Behind them all the head, on the same page of the database: each record of a
   * commit costs time, and each page that it touches.
   */
  entries: { key: number | "head"; value: Committed | Head };
  /** By level and index. */
  tiles: { key: [level: number, index: number]; value: Bytes };
  /** The others: those of what was committed together, 256 at most, by the `seq` of the first that there was. */
  values: { key: number; value: Values };
  /** By digest. */
  policies: { key: Digest; value: LoadedText };
  /** `identity` and `checkpoint`; and per rotation of the key, the note that both keys signed. */
  meta: { key: string; value: Identity | string | Rotation };
}

/** Entries, and with them their values or not. */
export type Committed = Bytes | { bundle: Bytes; values: Values };

/** Values end to end: the `seq` of each, and where it ends. */
export interface Values {
  seqs: number[];
  ends: number[];
  bytes: Bytes;
}

/** Bytes of values that are stored with their entries; who reads the entries reads them too. */
const FEW_BYTES = 16 * 1024;

type StoreName = keyof Schema;
const STORES: StoreName[] = ["entries", "tiles", "values", "policies", "meta"];

/** Who the log is: made once, when it is first opened. */
export interface Identity {
  origin: string;
  key: StoredKey;
}

/** A change of key: the `seq` of its entry, the key until then, and the checkpoint that both keys signed. */
export interface Rotation {
  seq: number;
  previous: string;
  note: string;
}

/** What Chromium says more when a database is made. */
interface DataLoss {
  dataLoss: "none" | "total";
  dataLossMessage: string;
}

/**
 * Has Chromium begin a new file for what is written from here on, as it does when a database is deleted. After a crash in
 * the middle of a write it would write on behind the torn record; the next time that it reads such a file, it finds it
 * corrupt and deletes all databases of the site.
 */
export async function beginFile(name: string): Promise<void> {
  if (!("dataLoss" in IDBVersionChangeEvent.prototype)) return; // not Chromium
  (await answer(indexedDB.open(name))).close();
  const deleting = indexedDB.deleteDatabase(name);
  // Someone has it open still, and so has just had it made.
  const blocked = new Promise((resolve) => deleting.addEventListener("blocked", resolve));
  await Promise.race([answer(deleting), blocked]);
}

/** Milliseconds after which a database that says nothing is given up: no promise may stay unsettled. */
const ANSWER_MS = 30_000;

/** Has `reject` be called if nothing else happens for so long; gives what calls that off. */
function orGiveUp(reject: (error: Error) => void): () => void {
  const timer = setTimeout(() => reject(new Error(`the database did not answer for ${ANSWER_MS} ms`)), ANSWER_MS);
  return () => clearTimeout(timer);
}

/** What the request gives, or that it does not answer. */
export function answer<T>(request: IDBRequest<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
  return promise.finally(orGiveUp(reject));
}

/** Writes it, and reads where it stands; the rest is in `stored.ts`. */
export class Store {
  /** Set where the database has just been made because the browser lost the one before, and says so: why. */
  readonly lost: string | undefined;
  readonly #db: IDBDatabase;

  private constructor(db: IDBDatabase, lost: string | undefined) {
    this.#db = db;
    this.lost = lost;
  }

  /**
   * Opens the database, making it if there is none.
   *
   * @param onLost called when the connection is taken away: the site's data was cleared, the database is being deleted
   *   or upgraded by another tab
   */
  static async open(name: string, onLost: (reason: string) => void): Promise<Store> {
    const request = indexedDB.open(name, 2);
    const { promise: blocked, reject: onBlocked } = Promise.withResolvers<never>();
    let lost: string | undefined;
    request.onupgradeneeded = (event: IDBVersionChangeEvent & Partial<DataLoss>) => {
      if (event.dataLoss === "total") lost = event.dataLossMessage || "data loss";
      if (event.oldVersion === 0) for (const store of STORES) request.result.createObjectStore(store);
      else moveHead(request.transaction!);
    };
    request.onblocked = () =>
      onBlocked(new Error("another tab holds an older version of the database open; close that tab"));
    try {
      const db = await Promise.race([answer(request), blocked]);
      db.onversionchange = () => {
        db.close();
        onLost("another tab deletes or upgrades the database");
      };
      db.onclose = () => onLost("the browser closed the database, perhaps because the site's data was cleared");
      return new Store(db, lost);
    } catch (error) {
      request.onsuccess = () => request.result.close();
      throw error;
    }
  }

  close(): void {
    this.#db.close();
  }

  /** One of its stores, in a transaction that only reads. */
  reading(name: StoreName): IDBObjectStore {
    return this.#db.transaction(name).objectStore(name);
  }

  async #get(key: string): Promise<Schema["meta"]["value"] | undefined> {
    return answer(this.reading("meta").get(key));
  }

  identity(): Promise<Identity | undefined> {
    return this.#get("identity") as Promise<Identity | undefined>;
  }

  head(): Promise<Head | undefined> {
    return answer(this.reading("entries").get("head"));
  }

  /** The last checkpoint, as a signed note. */
  checkpoint(): Promise<string | undefined> {
    return this.#get("checkpoint") as Promise<string | undefined>;
  }

  /** Whether there are no entries. */
  async isEmpty(): Promise<boolean> {
    return (await answer(this.reading("entries").openKeyCursor(entryKeys()))) === null;
  }

  /**
   * Resolves once it is on disk; rejects, and then none of it is stored, if the log does not stand at `batch.before`.
   *
   * @param also what else is written with it
   */
  commit(batch: Batch, also?: (transaction: IDBTransaction) => void): Promise<void> {
    const few = withFewValues(batch);
    const values = few ? [] : batch.values;
    const has = { ...batch, values, meta: [] };
    return this.#write(
      STORES.filter((name) => has[name].length > 0 || also),
      batch.before,
      (transaction) => {
        const store = (name: StoreName) => transaction.objectStore(name);
        // `add` where nothing may be overwritten; a tile grows in place.
        for (const some of chunks(batch.entries)) {
          const bundle = encodeEntries(some.map(({ bytes }) => bytes));
          store("entries").add(few ? { bundle, values: packValues(batch.values) } : bundle, some[0]!.seq);
        }
        for (const { level, index, hashes } of batch.tiles) store("tiles").put(hashes, [level, index]);
        for (const some of chunks(values)) store("values").add(packValues(some), some[0]!.seq);
        for (const policy of batch.policies) store("policies").add(policy, policy.digest);
        store("entries").put(batch.after, "head");
        also?.(transaction);
      },
      also !== undefined,
    );
  }

  /** As {@link commit}: for a log that has no identity yet. */
  putIdentity(identity: Identity, head: Head): Promise<void> {
    return this.#write(["entries", "meta"], undefined, (transaction) => {
      transaction.objectStore("meta").add(identity, "identity");
      transaction.objectStore("entries").add(head, "head");
    });
  }

  /** As {@link commit}. */
  putCheckpoint(note: string, head: Head): Promise<void> {
    return this.#write(["entries", "meta"], head, (transaction) => {
      transaction.objectStore("meta").put(note, "checkpoint");
    });
  }

  /**
   * One strict transaction: the head is read and compared while `work` queues its requests behind it, without a promise
   * for each of thousands; any that fails aborts the transaction and so the whole.
   *
   * @param more whether `work` will queue more once it has an answer
   */
  async #write(
    stores: StoreName[],
    before: Head | undefined,
    work: (transaction: IDBTransaction) => void,
    more = false,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const transaction = this.#db.transaction(stores, "readwrite", { durability: "strict" });
    const abort = (error: unknown) => {
      reject(error);
      try {
        transaction.abort();
      } catch {
        // It has ended by itself, and said so.
      }
    };
    transaction.oncomplete = () => resolve();
    transaction.onabort = () =>
      reject(transaction.error ?? new DOMException("The transaction was aborted.", "AbortError"));
    const read = transaction.objectStore("entries").get("head");
    read.onsuccess = () => {
      if (!sameHead(read.result as Head | undefined, before)) {
        abort(new VakError("log-unavailable", "The log was changed by someone else: its head is not where it was."));
      } else if (!more) transaction.commit();
    };
    try {
      work(transaction);
    } catch (error) {
      abort(error);
    }
    return promise.finally(orGiveUp(abort));
  }
}

/** The keys of entries: numbers, which come before texts. */
export const entryKeys = (): IDBKeyRange => IDBKeyRange.bound(0, Number.POSITIVE_INFINITY);

/** Of a log that was made when the head was kept elsewhere. */
function moveHead(transaction: IDBTransaction): void {
  const meta = transaction.objectStore("meta");
  const read = meta.get("head");
  read.onsuccess = () => {
    if (read.result !== undefined) transaction.objectStore("entries").put(read.result, "head");
    meta.delete("head");
  };
}

function sameHead(stored: Head | undefined, expected: Head | undefined): boolean {
  if (!stored || !expected) return stored === expected;
  return stored.size === expected.size && equalBytes(stored.root, expected.root);
}

/** Whether there are values, and so few that they are stored with the entries, in the one record that these are. */
function withFewValues({ entries, values }: Batch): boolean {
  if (values.length === 0 || entries.length > TILE_WIDTH) return false;
  return values.reduce((sum, { file }) => sum + file.length, 0) <= FEW_BYTES;
}

function* chunks<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += TILE_WIDTH) yield all.slice(at, at + TILE_WIDTH);
}

export function packValues(values: readonly { seq: number; file: Bytes }[]): Values {
  const ends: number[] = [];
  for (const { file } of values) ends.push((ends.at(-1) ?? 0) + file.length);
  const bytes = new Uint8Array(ends.at(-1) ?? 0);
  values.forEach(({ file }, i) => {
    bytes.set(file, ends[i]! - file.length);
  });
  return { seqs: values.map(({ seq }) => seq), ends, bytes };
}
