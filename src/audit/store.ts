/** The log's storage in IndexedDB. It knows records, not what they mean. */
import { VakError } from "../errors.ts";
import type { Digest } from "./entry.ts";
import { type Bytes, equalBytes } from "./merkle.ts";
import type { StoredKey } from "./signer.ts";
import type { Batch, Head, LoadedText } from "./writer.ts";

interface Schema {
  /** By `seq`. */
  entries: { key: number; value: Bytes };
  /** By level and index. */
  tiles: { key: [level: number, index: number]; value: Bytes };
  /** By `seq`. */
  values: { key: number; value: Bytes };
  /** By digest. */
  policies: { key: Digest; value: LoadedText };
  /** `identity`, `head` and `checkpoint`; and per rotation of the key, the note that both keys signed. */
  meta: { key: string; value: Identity | Head | string | Rotation };
}

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

/** A key for a number, by which records are in order. */
const rotationKey = (seq: number): string => `rotation ${String(seq).padStart(16, "0")}`;

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

function answer<T>(request: IDBRequest<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
  return promise.finally(orGiveUp(reject));
}

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
    const request = indexedDB.open(name, 1);
    const { promise: blocked, reject: onBlocked } = Promise.withResolvers<never>();
    let lost: string | undefined;
    request.onupgradeneeded = (event: IDBVersionChangeEvent & Partial<DataLoss>) => {
      if (event.dataLoss === "total") lost = event.dataLossMessage || "data loss";
      for (const store of STORES) request.result.createObjectStore(store);
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

  async #read<N extends StoreName, T>(name: N, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    return answer(ask(this.#db.transaction(name).objectStore(name)));
  }

  #get<N extends StoreName>(name: N, key: Schema[N]["key"]): Promise<Schema[N]["value"] | undefined> {
    return this.#read(name, (store) => store.get(key));
  }

  identity(): Promise<Identity | undefined> {
    return this.#get("meta", "identity") as Promise<Identity | undefined>;
  }

  head(): Promise<Head | undefined> {
    return this.#get("meta", "head") as Promise<Head | undefined>;
  }

  /** The last checkpoint, as a signed note. */
  checkpoint(): Promise<string | undefined> {
    return this.#get("meta", "checkpoint") as Promise<string | undefined>;
  }

  /** The `seq` of the last entry there is, or -1. */
  async lastSeq(): Promise<number> {
    const cursor = await this.#read("entries", (store) => store.openKeyCursor(null, "prev"));
    return (cursor?.key as number | undefined) ?? -1;
  }

  /** The entries from `from` up to, not including, `end`. */
  async entries(from: number, end: number): Promise<Bytes[]> {
    return from < end ? this.#read("entries", (store) => store.getAll(range(from, end))) : [];
  }

  entry(seq: number): Promise<Bytes | undefined> {
    return this.#get("entries", seq);
  }

  tile(level: number, index: number): Promise<Bytes | undefined> {
    return this.#get("tiles", [level, index]);
  }

  value(seq: number): Promise<Bytes | undefined> {
    return this.#get("values", seq);
  }

  /** The values kept beside entries from `from` up to, not including, `end`. */
  async values(from: number, end: number): Promise<{ seq: number; file: Bytes }[]> {
    const store = this.#db.transaction("values").objectStore("values");
    const [seqs, files]: [IDBValidKey[], Bytes[]] = await Promise.all([
      answer(store.getAllKeys(range(from, end))),
      answer(store.getAll(range(from, end))),
    ]);
    return seqs.map((seq, i) => ({ seq: seq as number, file: files[i]! }));
  }

  policies(): Promise<LoadedText[]> {
    return this.#read("policies", (store) => store.getAll());
  }

  rotations(): Promise<Rotation[]> {
    return this.#read("meta", (store) => store.getAll(IDBKeyRange.bound(rotationKey(0), "rotation ~")));
  }

  /**
   * Resolves once it is on disk; rejects, and then none of it is stored, if the log does not stand at `batch.before`.
   *
   * @param rotated where the batch changes the key: the new one, and the checkpoint over the batch
   */
  commit(batch: Batch, rotated?: { identity: Identity; rotation: Rotation }): Promise<void> {
    return this.#write(STORES, batch.before, (transaction) => {
      const entries = transaction.objectStore("entries");
      const tiles = transaction.objectStore("tiles");
      const values = transaction.objectStore("values");
      const policies = transaction.objectStore("policies");
      // `add` where nothing may be overwritten; a tile grows in place.
      for (const { seq, bytes } of batch.entries) entries.add(bytes, seq);
      for (const { level, index, hashes } of batch.tiles) tiles.put(hashes, [level, index]);
      for (const { seq, file } of batch.values) values.add(file, seq);
      for (const policy of batch.policies) policies.add(policy, policy.digest);
      for (const seq of batch.erased) values.delete(seq);
      const meta = transaction.objectStore("meta");
      meta.put(batch.after, "head");
      if (!rotated) return;
      meta.put(rotated.identity, "identity");
      meta.put(rotated.rotation.note, "checkpoint");
      meta.add(rotated.rotation, rotationKey(rotated.rotation.seq));
    });
  }

  /** As {@link commit}: for a log that has no identity yet. */
  putIdentity(identity: Identity, head: Head): Promise<void> {
    return this.#write(["meta"], undefined, (transaction) => {
      transaction.objectStore("meta").add(identity, "identity");
      transaction.objectStore("meta").add(head, "head");
    });
  }

  /** As {@link commit}. */
  putCheckpoint(note: string, head: Head): Promise<void> {
    return this.#write(["meta"], head, (transaction) => {
      transaction.objectStore("meta").put(note, "checkpoint");
    });
  }

  /**
   * One strict transaction: the head is compared, then `work` queues its requests, without a promise for each of
   * thousands; any that fails aborts the transaction and so the whole.
   */
  async #write(
    stores: StoreName[],
    before: Head | undefined,
    work: (transaction: IDBTransaction) => void,
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
    const read = transaction.objectStore("meta").get("head");
    read.onsuccess = () => {
      try {
        if (!sameHead(read.result as Head | undefined, before)) {
          throw new VakError("log-unavailable", "The log was changed by someone else: its head is not where it was.");
        }
        work(transaction);
      } catch (error) {
        abort(error);
      }
    };
    return promise.finally(orGiveUp(abort));
  }
}

function sameHead(stored: Head | undefined, expected: Head | undefined): boolean {
  if (!stored || !expected) return stored === expected;
  return stored.size === expected.size && equalBytes(stored.root, expected.root);
}

function range(from: number, end: number): IDBKeyRange {
  return IDBKeyRange.bound(from, end, false, true);
}
