/** The log's storage in IndexedDB. It knows records, not what they mean. */
import { type DBSchema, type IDBPDatabase, openDB, unwrap } from "idb";
import { VakError } from "../errors.ts";
import type { Digest } from "./entry.ts";
import { type Bytes, equalBytes } from "./merkle.ts";
import type { StoredKey } from "./signer.ts";
import type { Batch, Head, LoadedText } from "./writer.ts";

interface Schema extends DBSchema {
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

type StoreName = "entries" | "tiles" | "values" | "policies" | "meta";

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

/** Milliseconds after which a transaction that says nothing is given up: no promise may stay unsettled. */
const TRANSACTION_TIMEOUT_MS = 30_000;

export class Store {
  readonly #db: IDBPDatabase<Schema>;

  private constructor(db: IDBPDatabase<Schema>) {
    this.#db = db;
  }

  /**
   * Opens the database, making it if there is none.
   *
   * @param onLost called when the connection is taken away: the site's data was cleared, the database is being deleted
   *   or upgraded by another tab
   */
  static async open(name: string, onLost: (reason: string) => void): Promise<Store> {
    const db = await new Promise<IDBPDatabase<Schema>>((resolve, reject) => {
      let given = false;
      const opening = openDB<Schema>(name, 1, {
        upgrade(db) {
          for (const store of ["entries", "tiles", "values", "policies", "meta"] as const) db.createObjectStore(store);
        },
        blocked() {
          given = true;
          reject(new Error("another tab holds an older version of the database open; close that tab"));
        },
        blocking(_current, _blocked, event) {
          (event.target as IDBDatabase).close();
          onLost("another tab deletes or upgrades the database");
        },
        terminated() {
          onLost("the browser closed the database, perhaps because the site's data was cleared");
        },
      });
      opening.then((db) => (given ? db.close() : resolve(db)), reject);
    });
    return new Store(db);
  }

  close(): void {
    this.#db.close();
  }

  identity(): Promise<Identity | undefined> {
    return this.#db.get("meta", "identity") as Promise<Identity | undefined>;
  }

  head(): Promise<Head | undefined> {
    return this.#db.get("meta", "head") as Promise<Head | undefined>;
  }

  /** The last checkpoint, as a signed note. */
  checkpoint(): Promise<string | undefined> {
    return this.#db.get("meta", "checkpoint") as Promise<string | undefined>;
  }

  /** The `seq` of the last entry there is, or -1. */
  async lastSeq(): Promise<number> {
    const cursor = await this.#db.transaction("entries").store.openKeyCursor(null, "prev");
    return cursor?.key ?? -1;
  }

  /** The entries from `from` up to, not including, `end`. */
  entries(from: number, end: number): Promise<Bytes[]> {
    return from < end ? this.#db.getAll("entries", range(from, end)) : Promise.resolve([]);
  }

  entry(seq: number): Promise<Bytes | undefined> {
    return this.#db.get("entries", seq);
  }

  tile(level: number, index: number): Promise<Bytes | undefined> {
    return this.#db.get("tiles", [level, index]);
  }

  value(seq: number): Promise<Bytes | undefined> {
    return this.#db.get("values", seq);
  }

  /** The values kept beside entries from `from` up to, not including, `end`. */
  async values(from: number, end: number): Promise<{ seq: number; file: Bytes }[]> {
    const store = this.#db.transaction("values").store;
    const [seqs, files] = await Promise.all([store.getAllKeys(range(from, end)), store.getAll(range(from, end))]);
    return seqs.map((seq, i) => ({ seq, file: files[i]! }));
  }

  policies(): Promise<LoadedText[]> {
    return this.#db.getAll("policies");
  }

  rotations(): Promise<Rotation[]> {
    return this.#db.getAll("meta", IDBKeyRange.bound(rotationKey(0), "rotation ~")) as Promise<Rotation[]>;
  }

  /**
   * Resolves once it is on disk; rejects, and then none of it is stored, if the log does not stand at `batch.before`.
   *
   * @param rotated where the batch changes the key: the new one, and the checkpoint over the batch
   */
  commit(batch: Batch, rotated?: { identity: Identity; rotation: Rotation }): Promise<void> {
    return this.#write(["entries", "tiles", "values", "policies", "meta"], batch.before, (transaction) => {
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
   * One strict transaction: the head is compared, then `work` queues its requests. Native IndexedDB, without a promise
   * for each of thousands of requests; any that fails aborts the transaction and so the whole.
   */
  #write(stores: StoreName[], before: Head | undefined, work: (transaction: IDBTransaction) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const transaction = unwrap(this.#db).transaction(stores, "readwrite", { durability: "strict" });
      let reason: unknown;
      const abort = (error: unknown) => {
        reason = error;
        try {
          transaction.abort();
        } catch {
          // It has ended by itself, and said so.
        }
      };
      const timer = setTimeout(() => {
        abort(new Error(`the database did not answer for ${TRANSACTION_TIMEOUT_MS} ms`));
        reject(reason);
      }, TRANSACTION_TIMEOUT_MS);
      transaction.oncomplete = () => {
        clearTimeout(timer);
        resolve();
      };
      transaction.onabort = () => {
        clearTimeout(timer);
        reject(reason ?? transaction.error ?? new DOMException("The transaction was aborted.", "AbortError"));
      };
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
    });
  }
}

function sameHead(stored: Head | undefined, expected: Head | undefined): boolean {
  if (!stored || !expected) return stored === expected;
  return stored.size === expected.size && equalBytes(stored.root, expected.root);
}

function range(from: number, end: number): IDBKeyRange {
  return IDBKeyRange.bound(from, end, false, true);
}
