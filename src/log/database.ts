/** A log's IndexedDB database: opens it, reads its head, and writes each commit in one strict transaction. */

import { deleteDB, type IDBPDatabase, type IDBPObjectStore, type IDBPTransaction, openDB, unwrap } from "idb";
import { equalBytes } from "../base/bytes.ts";
import { within } from "../base/time.ts";
import { VakError } from "../errors.ts";
import { encodeEntries } from "../tlog/entry-bundle.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { entryKeys, type Identity, packValues, type Schema, STORES, type StoreName } from "./records.ts";
import type { Batch, Head } from "./writer.ts";

export type Writing = IDBPTransaction<Schema, StoreName[], "readwrite">;

/** Queues requests in a transaction and yields the promises that it makes, so that `#write` handles all of them. */
export type Work = (transaction: Writing) => Iterable<Promise<unknown>>;

/** Chromium adds this to the event that creates a database. */
interface DataLoss {
  dataLoss: "none" | "total";
  dataLossMessage: string;
}

const VERSION = 2;

/**
 * Values up to this many bytes in all are stored with their entries; reading those entries then reads the values too.
 */
const SMALL_BYTES = 16 * 1024;

/** Milliseconds that the database has to answer; then it is considered lost, so that no promise stays unsettled. */
const ANSWER_MS = 30_000;

const inTime = <T>(answer: Promise<T>): Promise<T> =>
  within(ANSWER_MS, answer, () => new Error(`the database did not answer for ${ANSWER_MS} ms`));

/**
 * Makes Chromium start a new file for whatever it writes next, as it does when a database is deleted. After a crash in
 * the middle of a write it would append behind the torn record; on the next read it would find that file corrupt and
 * delete every database of the site.
 */
export async function beginFile(name: string): Promise<void> {
  if (!("dataLoss" in IDBVersionChangeEvent.prototype)) return; // not Chromium
  (await inTime(openDB(name))).close();
  // Blocked means that another tab has just opened it, and so has started a new file itself.
  const { promise: isBlocked, resolve: blocked } = Promise.withResolvers<void>();
  await inTime(Promise.race([deleteDB(name, { blocked: () => blocked() }), isBlocked]));
}

export class Database {
  /** Why the browser lost the previous database, where it says so; this one has then just been created. */
  readonly lost: string | undefined;
  readonly #db: IDBPDatabase<Schema>;

  private constructor(db: IDBPDatabase<Schema>, lost: string | undefined) {
    this.#db = db;
    this.lost = lost;
  }

  /**
   * Opens the database, and creates it if there is none.
   *
   * @param onLost called when the connection is lost: the site's data was cleared, or another tab deletes or upgrades
   *   the database
   */
  static async open(name: string, onLost: (reason: string) => void): Promise<Database> {
    const { promise: isBlocked, reject: block } = Promise.withResolvers<never>();
    let lost: string | undefined;
    let misfit: unknown;
    const opening = openDB<Schema>(name, VERSION, {
      upgrade: (db, _old, _new, transaction, event: IDBVersionChangeEvent & Partial<DataLoss>) => {
        transaction.done.catch(() => {}); // `opening` rejects too
        if (event.dataLoss === "total") lost = event.dataLossMessage || "data loss";
        try {
          for (const store of STORES) db.createObjectStore(store);
        } catch (error) {
          misfit = error; // nobody could catch what this handler throws
          transaction.abort();
        }
      },
      blocked: () => block(new Error("another tab holds another version of the database open; close that tab")),
      blocking: (_current, _blocked, event) => {
        (event.target as IDBDatabase).close();
        onLost("another tab deletes or upgrades the database");
      },
      terminated: () => onLost("the browser closed the database, perhaps because the site's data was cleared"),
    });
    try {
      return new Database(await inTime(Promise.race([opening, isBlocked])), lost);
    } catch (error) {
      opening.then(
        (db) => db.close(),
        () => {},
      );
      throw misfit ?? error;
    }
  }

  close(): void {
    this.#db.close();
  }

  /** Reads from one store, in one transaction. */
  async read<N extends StoreName, T>(
    name: N,
    work: (store: IDBPObjectStore<Schema, [N], N>) => Promise<T>,
  ): Promise<T> {
    const transaction = this.#db.transaction(name);
    transaction.done.catch(() => {}); // the requests say what failed
    return inTime(work(transaction.store));
  }

  identity(): Promise<Identity | undefined> {
    return this.read("meta", (meta) => meta.get("identity")) as Promise<Identity | undefined>;
  }

  head(): Promise<Head | undefined> {
    return this.read("entries", (entries) => entries.get("head")) as Promise<Head | undefined>;
  }

  /** The last checkpoint, as a signed note. */
  checkpoint(): Promise<string | undefined> {
    return this.read("meta", (meta) => meta.get("checkpoint")) as Promise<string | undefined>;
  }

  /** Whether there are no entries. */
  isEmpty(): Promise<boolean> {
    return this.read("entries", async (entries) => (await entries.getKey(entryKeys())) === undefined);
  }

  /**
   * Writes a batch. Resolves once it is on disk; rejects, with nothing written, if the stored head is not
   * `batch.before`.
   *
   * @param also what else is written in the same transaction
   */
  commit(batch: Batch, also?: Work): Promise<void> {
    const small = hasSmallValues(batch);
    const values = small ? [] : batch.values;
    const parts = { ...batch, values, meta: [] };
    return this.#write(
      STORES.filter((name) => parts[name].length > 0 || also),
      batch.before,
      function* (transaction) {
        // Every call waits for this, so there is no promise for each request: one that fails aborts the transaction.
        const plain = unwrap(transaction);
        const entries = plain.objectStore("entries");
        // `add` wherever nothing may be overwritten; a tile grows in place.
        for (const some of chunks(batch.entries)) {
          const bundle = encodeEntries(some.map(({ bytes }) => bytes));
          entries.add(small ? { bundle, values: packValues(batch.values) } : bundle, some[0]!.seq);
        }
        for (const { level, index, hashes } of batch.tiles) {
          plain.objectStore("tiles").put(hashes, [level, index]);
        }
        for (const some of chunks(values)) plain.objectStore("values").add(packValues(some), some[0]!.seq);
        for (const policy of batch.policies) plain.objectStore("policies").add(policy, policy.digest);
        entries.put(batch.after, "head");
        if (also) yield* also(transaction);
      },
      also !== undefined,
    );
  }

  /** As {@link commit}, for a log that has no identity yet. */
  putIdentity(identity: Identity, head: Head): Promise<void> {
    return this.#write(["entries", "meta"], undefined, function* (transaction) {
      yield transaction.objectStore("meta").add(identity, "identity");
      yield transaction.objectStore("entries").add(head, "head");
    });
  }

  /** As {@link commit}. */
  putCheckpoint(note: string, head: Head): Promise<void> {
    return this.#write(["entries", "meta"], head, function* (transaction) {
      yield transaction.objectStore("meta").put(note, "checkpoint");
    });
  }

  /**
   * Runs one strict transaction. The head is read and compared while `work` already queues its requests behind that
   * read; if any of them fails, none of it is written.
   *
   * @param more whether `work` queues more requests once it has answers
   */
  async #write(stores: StoreName[], before: Head | undefined, work: Work, more = false): Promise<void> {
    const transaction: Writing = this.#db.transaction(stores, "readwrite", { durability: "strict" });
    const checkHead = async () => {
      const head = (await transaction.objectStore("entries").get("head")) as Head | undefined;
      if (!sameHead(head, before)) {
        throw new VakError(
          "log-unavailable",
          "The log was changed from outside: its stored head is not the one that this tab wrote.",
        );
      }
      if (!more) transaction.commit();
    };
    // Of the first request that fails. Captured: `done` rejects at this event too, before the transaction has an error.
    let reason: unknown;
    const onError = ({ target }: Event) => {
      reason ??= (target as IDBRequest).error;
    };
    transaction.addEventListener("error", onError, true);
    const pending: Promise<unknown>[] = [transaction.done];
    try {
      pending.push(checkHead());
      for (const request of work(transaction)) pending.push(request);
      await inTime(Promise.all(pending));
    } catch (error) {
      // Why the browser aborted it, where it did: the requests that were pending say AbortError and nothing more.
      const cause = transaction.error ?? reason ?? error;
      void Promise.allSettled(pending); // whatever is pending rejects when the transaction aborts
      try {
        transaction.abort();
      } catch {
        // It has ended already.
      }
      throw cause;
    }
  }
}

function sameHead(stored: Head | undefined, expected: Head | undefined): boolean {
  if (!stored || !expected) return stored === expected;
  return stored.size === expected.size && equalBytes(stored.root, expected.root);
}

/** Whether a batch has values small enough to be stored with its entries, in the one record that these make up. */
function hasSmallValues({ entries, values }: Batch): boolean {
  if (values.length === 0 || entries.length > TILE_WIDTH) return false;
  return values.reduce((sum, { file }) => sum + file.length, 0) <= SMALL_BYTES;
}

function* chunks<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += TILE_WIDTH) yield all.slice(at, at + TILE_WIDTH);
}
