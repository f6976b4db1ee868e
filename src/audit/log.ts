/** The writer of a log: one at a time, in IndexedDB, failing closed. */
import { bytesToHex, randomBytes } from "@noble/hashes/utils.js";
import { VakError } from "../errors.ts";
import { formatCheckpoint, parseCheckpoint } from "./checkpoint.ts";
import { fromUtf8, toBase64, toUtf8 } from "./encoding.ts";
import { type Draft, type Entry, parseEntry } from "./entry.ts";
import { type Bytes, consistencyProof, equalBytes, leafHash } from "./merkle.ts";
import { ed25519Verifier, formatNote, formatVkey, parseNote, type Verifier, verifyNote } from "./note.ts";
import { Order } from "./order.ts";
import { createNobleKey, createWebCryptoKey, KeyUnavailable, sign } from "./signer.ts";
import { type Identity, Store } from "./store.ts";
import { hashesAt, splitHashes, TILE_WIDTH } from "./tiles.ts";
import { committedValue, openValue } from "./value.ts";
import { type Attached, type Edge, edgeOf, emptyHead, type Head, Writer } from "./writer.ts";

/** A signed statement of what the log is. */
export interface Checkpoint {
  origin: string;
  /** Entries it covers. */
  size: number;
  /** Root of their tree, base64. */
  root: string;
  /** The C2SP signed note that says so. */
  note: string;
}

export interface LogRecord {
  seq: number;
  entry: Entry;
  /** The entry as it was hashed. */
  bytes: Uint8Array;
}

export interface EntriesOptions {
  from?: number;
  follow?: boolean;
  signal?: AbortSignal;
}

/** Entries read from storage at a time. */
const READ_BATCH = 256;

/**
 * Opens the log of that name, makes it on first use, and holds it until it is closed: no other tab can write it
 * meanwhile. What an earlier session left open is closed by `outcome: unknown` and `recovery` entries.
 *
 * @param name 1 to 64 letters, digits, `.`, `_` and `-`
 * @throws VakError `log-in-use` when another tab or kernel writes it, `log-corrupt` when what is stored contradicts
 *   itself, `log-unavailable` when it cannot be opened, `unsupported` where there is no IndexedDB or no Web Locks
 * @example
 * const log = await openLog({ name: "default" });
 * const { seq } = await log.append({ type: "policy-load", policies: ["policy0"] }, { policy: text });
 */
export async function openLog({ name }: { name: string }): Promise<AuditLog> {
  if (!/^[\w.-]{1,64}$/.test(name)) {
    throw new VakError("invalid-argument", `"${name}" cannot name a log; use 1 to 64 letters, digits, ".", "_", "-".`);
  }
  if (!globalThis.navigator?.locks || !globalThis.indexedDB) {
    throw new VakError("unsupported", "The log needs IndexedDB and Web Locks; serve the page over https, unsandboxed.");
  }
  const key = `vak:log:${name}`;
  const lock = await takeLock(key);
  let lost: string | undefined;
  let log: AuditLog | undefined;
  let store: Store | undefined;
  const onLost = (reason: string) => {
    lost ??= reason;
    log?.fail(new Error(reason));
  };
  lock.onStolen = () => onLost("another tab took the log's lock");
  try {
    store = await Store.open(key, onLost);
    const { identity, verifier, writer, head, open } = await load(store, name);
    log = new AuditLog(store, lock, identity, verifier, writer, head);
    if (lost !== undefined) log.fail(new Error(lost));
    await log.recover(open);
    return log;
  } catch (error) {
    store?.close();
    await lock.release();
    if (error instanceof VakError) throw error;
    throw unavailable(error);
  }
}

interface Lock {
  /** Gives the lock back; resolves once another can have it. */
  release(): Promise<void>;
  onStolen: () => void;
}

async function takeLock(name: string): Promise<Lock> {
  const taken = Promise.withResolvers<boolean>();
  const released = Promise.withResolvers<void>();
  const lock: Lock = {
    release: async () => {
      released.resolve();
      await ended;
    },
    onStolen: () => {},
  };
  const ended = navigator.locks
    .request(name, { ifAvailable: true }, (granted) => {
      taken.resolve(granted !== null);
      return granted ? released.promise : undefined;
    })
    .catch((error: unknown) => {
      taken.reject(unavailable(error));
      lock.onStolen();
    });
  if (!(await taken.promise)) {
    throw new VakError(
      "log-in-use",
      "Another tab or kernel writes this log. Close it there, or give this kernel a log with another name.",
    );
  }
  return lock;
}

function unavailable(cause: unknown): VakError {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  // Chromium's QuotaExceededError has no message.
  const why = name === "QuotaExceededError" ? "the site's storage or the disk is full; free some" : message || name;
  return new VakError("log-unavailable", `The log cannot be written, so no effect may happen: ${why}.`, { cause });
}

function closed(): VakError {
  return new VakError("closed", "The log was closed.");
}

function corrupt(what: string, cause?: unknown): VakError {
  const message = `The stored log contradicts itself: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-corrupt", message, { cause });
}

/** Reads where the log stands, and checks it against the entries, the tiles and the last checkpoint. */
async function load(store: Store, name: string) {
  const lastSeq = await store.lastSeq();
  const identity = (await store.identity()) ?? (lastSeq < 0 ? await createIdentity(store, name) : undefined);
  const head = await store.head();
  if (!identity || !head) throw corrupt("there are entries, but no key or no head");
  if (lastSeq !== head.size - 1) throw corrupt(`its head says ${head.size} entries, the last is ${lastSeq}`);

  const edge = await readEdge(store, head.size);
  if (!equalBytes(edgeOf(head.size, edge).root(), head.root)) throw corrupt("its entries do not hash to its root");

  const verifier = ed25519Verifier(identity.origin, identity.key.publicKey);
  const note = await store.checkpoint();
  if (note !== undefined) await checkCheckpoint(store, note, verifier, head);

  const open: Entry[] = [];
  let order: Order;
  try {
    for (const seq of head.open) open.push(parseEntry((await store.entry(seq)) ?? new Uint8Array()));
    const policies = (await store.policies()).map(({ digest }) => digest);
    order = Order.resume({ size: head.size, policy: head.policy, policies, open });
  } catch (error) {
    throw corrupt("what it says is still open is not", error);
  }
  return { identity, verifier, head, writer: new Writer(head, edge, order), open };
}

async function createIdentity(store: Store, name: string): Promise<Identity> {
  // A log is known by its origin alone, to a witness and to whoever compares two checkpoints: so it must be unique, and
  // must not claim a domain that belongs to someone. `.invalid` never will (RFC 6761).
  const origin = `vak.invalid/${bytesToHex(randomBytes(8))}/${name}`;
  const head = emptyHead();
  try {
    const identity: Identity = { origin, key: await createWebCryptoKey() };
    await store.putIdentity(identity, head);
    return identity;
  } catch (error) {
    // No Ed25519 in WebCrypto, or no CryptoKey in IndexedDB. Storage that fails must not cost the log its better key.
    if (!(error instanceof KeyUnavailable) && (error as Error).name !== "DataCloneError") throw error;
  }
  const identity: Identity = { origin, key: await createNobleKey() };
  await store.putIdentity(identity, head);
  return identity;
}

/** The last tile of each level of the tree of the first `size` entries, cut to that size. */
async function readEdge(store: Store, size: number): Promise<Edge> {
  const edge: Edge = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const count = hashesAt(level, size);
    const width = count % TILE_WIDTH;
    if (level === 0) {
      const entries = await store.entries(count - width, count);
      edge.push(entries.map(leafHash));
    } else {
      const tile = width === 0 ? undefined : await store.tile(level, (count - width) / TILE_WIDTH);
      edge.push(tile ? splitHashes(tile).slice(0, width) : []);
    }
    if (edge[level]!.length !== width) throw corrupt(`the last tile of level ${level} is incomplete`);
  }
  return edge;
}

async function checkCheckpoint(store: Store, stored: string, verifier: Verifier, head: Head): Promise<void> {
  let signed: { origin: string; size: number; root: Bytes };
  try {
    const note = parseNote(toUtf8(stored));
    await verifyNote(note, [verifier]);
    signed = parseCheckpoint(note.text);
  } catch (error) {
    throw corrupt("its last checkpoint is not one that it signed", error);
  }
  if (signed.origin !== verifier.name || signed.size > head.size) {
    throw corrupt(`its last checkpoint covers ${signed.size} entries, it has ${head.size}`);
  }
  const root = edgeOf(signed.size, await readEdge(store, signed.size)).root();
  if (!equalBytes(root, signed.root)) throw corrupt("its entries are not those of its last checkpoint");
}

function decode(bytes: Uint8Array): Entry {
  return JSON.parse(fromUtf8(bytes));
}

interface Waiting {
  seq: number;
  resolve: (value: { seq: number }) => void;
  reject: (error: VakError) => void;
}

/** A log that is open for writing; {@link openLog} makes it. */
export class AuditLog {
  /** The name of the log and of its key. */
  readonly origin: string;
  /** The key that verifies its checkpoints, as C2SP signed-note writes it. */
  readonly vkey: string;
  /**
   * Settles when the log can take no more: with `log-unavailable` and its cause when it failed, with `closed` after
   * {@link close}. It never rejects.
   */
  readonly failed: Promise<VakError>;

  readonly #store: Store;
  readonly #lock: Lock;
  readonly #identity: Identity;
  readonly #verifier: Verifier;
  readonly #writer: Writer;
  /** What is committed. */
  #head: Head;
  #ended: VakError | undefined;
  #closing = false;
  readonly #onEnded = Promise.withResolvers<VakError>();
  #waiting: Waiting[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  /** Replaced at each commit, for those who follow. */
  #changed = Promise.withResolvers<void>();
  #last: Checkpoint | undefined;

  /** @internal */
  constructor(store: Store, lock: Lock, identity: Identity, verifier: Verifier, writer: Writer, head: Head) {
    this.#store = store;
    this.#lock = lock;
    this.#identity = identity;
    this.#verifier = verifier;
    this.#writer = writer;
    this.#head = head;
    this.origin = identity.origin;
    this.vkey = formatVkey(verifier);
    this.failed = this.#onEnded.promise;
  }

  /** Committed entries. */
  get size(): number {
    return this.#head.size;
  }

  /**
   * Appends an entry. Resolves once it is on disk, with everything appended before it; what is appended in one turn is
   * committed together.
   *
   * @param attached what is kept beside the entry, from which the log computes its digests
   * @throws VakError `invalid-argument` when the entry is malformed, too long or out of order: the log goes on;
   *   `log-unavailable` when it could not be committed: the log has ended; `closed`
   */
  async append(draft: Draft, attached: Attached = {}): Promise<{ seq: number }> {
    return this.#append(draft, attached);
  }

  async #append(draft: Parameters<Writer["append"]>[0], attached?: Attached): Promise<{ seq: number }> {
    if (this.#ended) throw this.#ended;
    if (this.#closing) throw closed();
    const seq = this.#writer.append(draft, attached);
    const { promise, resolve, reject } = Promise.withResolvers<{ seq: number }>();
    this.#waiting.push({ seq, resolve, reject });
    if (this.#waiting.length === 1) this.#serially(() => this.#commit());
    return promise;
  }

  /** One after the other: commits and checkpoints never overlap. */
  #serially<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(job);
    this.#tail = result.catch(() => {});
    return result;
  }

  async #commit(): Promise<void> {
    const batch = this.#writer.take();
    if (this.#ended || !batch) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      await this.#store.commit(batch);
      if (this.#ended) throw this.#ended;
    } catch (error) {
      this.fail(error);
      for (const { reject } of waiting) reject(this.#ended!);
      return;
    }
    this.#head = batch.after;
    for (const { seq, resolve } of waiting) resolve({ seq });
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /**
   * Ends the log: nothing is acknowledged from here on.
   *
   * @internal
   */
  fail(cause: unknown): void {
    this.#end(cause instanceof VakError && cause.code === "log-unavailable" ? cause : unavailable(cause));
    this.#store.close();
    void this.#lock.release();
  }

  #end(error: VakError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#onEnded.resolve(error);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
    this.#wake();
  }

  /**
   * Opens a new log with its first entry, and closes what an earlier session left open.
   *
   * @internal
   */
  async recover(open: readonly Entry[]): Promise<void> {
    if (this.#head.size === 0) {
      const { kind } = this.#identity.key;
      await this.#append({
        type: "log-open",
        origin: this.origin,
        vkey: this.vkey,
        signer: kind,
        extractable: kind === "noble",
      });
      return;
    }
    if (open.length === 0) return;
    const counts = { intents: 0, runs: 0, agents: 0 };
    const appended: Promise<unknown>[] = [];
    for (const entry of open) {
      if (entry.type === "agent-spawn") counts.agents++;
      else if (entry.type === "run-start") counts.runs++;
      else if (entry.type === "intent") {
        counts.intents++;
        const { agent, run, call, seq } = entry;
        appended.push(
          this.#append({ type: "outcome", agent, run, call, intentOf: seq, status: "unknown", error: null }),
        );
      }
    }
    appended.push(this.#append({ type: "recovery", ...counts }));
    await Promise.all(appended);
  }

  /**
   * Signs what the log is now, everything appended so far included.
   *
   * @throws VakError `log-unavailable`, `closed`
   */
  async checkpoint(): Promise<Checkpoint> {
    return this.#serially(() => this.#checkpoint());
  }

  async #checkpoint(): Promise<Checkpoint> {
    if (this.#ended) throw this.#ended;
    const { size, root } = this.#head;
    if (this.#last?.size === size) return this.#last;
    const text = formatCheckpoint({ origin: this.origin, size, root });
    try {
      const signature = await sign(this.#identity.key, toUtf8(text));
      const { name, keyId } = this.#verifier;
      const note = fromUtf8(formatNote({ text, signatures: [{ name, keyId, signature }] }));
      await this.#store.putCheckpoint(note, this.#head);
      if (this.#ended) throw this.#ended;
      this.#last = { origin: this.origin, size, root: toBase64(root), note };
      return this.#last;
    } catch (error) {
      this.fail(error);
      throw this.#ended;
    }
  }

  /**
   * The log as a bundle (see `bundle.ts`), with a checkpoint that covers all of it: a zip.
   *
   * @throws VakError `log-unavailable`, `log-corrupt`, `closed`, `unsupported` when it is too large for one zip
   */
  async export(): Promise<Blob> {
    const { note, size } = await this.checkpoint();
    return this.#reading(async () => {
      const { bundleFiles, zipFiles } = await import("./bundle.ts");
      return zipFiles(bundleFiles(this.#store, { note, size, vkey: this.vkey }));
    });
  }

  /**
   * A receipt that entry `seq` is in the log: a C2SP tlog-proof, which holds the entry and a checkpoint. `verifyProof` of
   * `vak/audit` verifies it, with the log's key and nothing else.
   *
   * @throws VakError `invalid-argument` when there is no such entry, `log-unavailable`, `closed`
   * @example const receipt = await log.prove(seq); // keep it as `name.tlog-proof`
   */
  async prove(seq: number): Promise<string> {
    this.#checkSize(seq + 1, 1, "entry");
    const { note, size } = this.#last && this.#last.size > seq ? this.#last : await this.checkpoint();
    return this.#reading(async () => (await import("./proof.ts")).makeProof(this.#store, seq, note, size));
  }

  /**
   * RFC 6962 §2.1.2: the hashes which prove that the log's first `newSize` entries begin with its first `oldSize`. None
   * are needed where `oldSize` is 0.
   *
   * @throws VakError `invalid-argument` unless 0 ≤ `oldSize` ≤ `newSize` ≤ `size`; `log-unavailable`, `closed`
   */
  async consistency(oldSize: number, newSize: number): Promise<Uint8Array[]> {
    this.#checkSize(newSize, 0, "size");
    this.#checkSize(oldSize, 0, "size", newSize);
    if (oldSize === 0) return [];
    return this.#reading(async () => {
      const { tileHashes } = await import("./proof.ts");
      return consistencyProof(oldSize, newSize, tileHashes(this.#store));
    });
  }

  #checkSize(size: number, least: number, what: string, most = this.#head.size): void {
    if (this.#ended) throw this.#ended;
    if (Number.isSafeInteger(size) && size >= least && size <= most) return;
    throw new VakError("invalid-argument", `There is no such ${what}; the log has ${this.#head.size} entries.`);
  }

  /** Work that only reads: a failure of it does not end the log. */
  async #reading<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof VakError) throw error;
      throw this.#ended ?? unavailable(error);
    }
  }

  /**
   * The private value kept beside entry `seq`, with null in place of each secret that was never stored; undefined when
   * there is none, or when it was erased.
   *
   * @throws VakError `log-corrupt` when it is not the value that the entry commits to; `log-unavailable`, `closed`
   */
  async value(seq: number): Promise<unknown> {
    const committed = await this.#committed(seq);
    const file = committed && (await this.#reading(() => this.#store.value(seq)));
    if (!committed || !file) return undefined;
    try {
      return openValue(file, committed.kind, committed.digest).value;
    } catch (error) {
      throw corrupt(`the value beside entry ${seq} is not the one that it commits to`, error);
    }
  }

  /**
   * Deletes the private value kept beside entry `seq`, and its salt, and says so in the log. The entry stays, and with
   * it a commitment that tells nothing about the value; the log still verifies. What was exported before is not reached,
   * nor what a browser's database has not overwritten yet.
   *
   * @returns the `seq` of the entry that says so
   * @throws VakError `not-found` when no value is kept there, or none any more; otherwise as {@link append}
   */
  async erase(seq: number): Promise<{ seq: number }> {
    if ((await this.#committed(seq)) === undefined || !(await this.#reading(() => this.#store.value(seq)))) {
      throw new VakError("not-found", `There is no value beside entry ${seq} to erase, or none any more.`);
    }
    return this.#append({ type: "erase", erases: seq });
  }

  async #committed(seq: number) {
    this.#checkSize(seq + 1, 1, "entry");
    const bytes = await this.#reading(() => this.#store.entry(seq));
    if (!bytes) throw corrupt(`entry ${seq} is missing`);
    return committedValue(decode(bytes));
  }

  async *#read(from: number, end: number): AsyncGenerator<LogRecord> {
    for (let seq = from; seq < end; ) {
      let batch: Bytes[];
      try {
        batch = await this.#store.entries(seq, Math.min(end, seq + READ_BATCH));
      } catch (error) {
        throw this.#ended ?? unavailable(error);
      }
      if (batch.length === 0) throw corrupt(`entry ${seq} is missing`);
      for (const bytes of batch) yield { seq: seq++, entry: decode(bytes), bytes };
    }
  }

  /**
   * The committed entries from `from` (0) on. With `follow`, also those that are committed later, until the signal
   * aborts or the log ends.
   *
   * @throws VakError `log-unavailable` or `closed` when the log ended before all of them were read
   */
  async *entries({ from = 0, follow = false, signal }: EntriesOptions = {}): AsyncGenerator<LogRecord, void> {
    const wake = () => this.#wake();
    signal?.addEventListener("abort", wake);
    try {
      let next = from;
      while (!signal?.aborted) {
        const changed = this.#changed.promise;
        for await (const record of this.#read(next, this.#head.size)) {
          yield record;
          next = record.seq + 1;
          if (signal?.aborted) return;
        }
        if (!follow || this.#ended) return;
        await changed;
      }
    } finally {
      signal?.removeEventListener("abort", wake);
    }
  }

  /** Commits what was appended, gives the log free for others and ends it. Safe to call twice. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#tail;
    this.#end(closed());
    this.#store.close();
    await this.#lock.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
