/** The writer of a log: one at a time, in IndexedDB, failing closed. */
import { bytesToHex, randomBytes } from "@noble/hashes/utils.js";
import { VakError } from "../errors.ts";
import type { Anchor } from "./anchor.ts";
import type { BundleFile, ExportProgress } from "./bundle.ts";
import { type Checkpoint, formatCheckpoint, parseCheckpoint, type TreeHead } from "./checkpoint.ts";
import { fromUtf8, toBase64, toUtf8 } from "./encoding.ts";
import { type Draft, type Entry, type EntryType, parseEntry, type SignerKind } from "./entry.ts";
import { type Lock, takeLock } from "./lock.ts";
import { type Bytes, equalBytes, leafHash } from "./merkle.ts";
import { ed25519Verifier, formatNote, formatVkey, parseNote, type Verifier } from "./note.ts";
import { Order } from "./order.ts";
import {
  createNobleKey,
  createWebCryptoKey,
  customKey,
  extractable,
  KeyUnavailable,
  type Signer,
  type StoredKey,
  sign,
  verifyOwn,
} from "./signer.ts";
import { type Identity, Store } from "./store.ts";
import { hashesAt, splitHashes, TILE_WIDTH } from "./tiles.ts";
import { committedValue, openValue } from "./value.ts";
import { type Attached, type Batch, type Edge, edgeOf, emptyHead, type Head, Writer } from "./writer.ts";

export type { Checkpoint } from "./checkpoint.ts";

export interface LogRecord {
  seq: number;
  entry: Entry;
  /** The entry as it was hashed. */
  bytes: Uint8Array;
}

export interface LogOptions {
  /** 1 to 64 letters, digits, `.`, `_` and `-`; the default is "default". */
  name?: string;
  /**
   * What to do where another tab or kernel writes this log:
   * - `fail` (the default): throw `log-in-use`;
   * - `wait`: until it is free, or `signal` aborts;
   * - `read`: open it for reading, follow what is written, and write once it is free (see {@link AuditLog.writable});
   * - `own`: write another log, `<name>.2` or the next that is free.
   */
  onBusy?: "fail" | "wait" | "read" | "own";
  /** Gives up waiting. */
  signal?: AbortSignal;
  /** Signs instead of a key that the log makes; asked for again each time the log is opened. */
  signer?: Signer;
  /** What remembers checkpoints outside; the log must extend the newest of them. */
  anchor?: Anchor;
  /** Milliseconds after which new entries are under a signed checkpoint at the latest; 10,000 unless given. */
  checkpointMs?: number;
}

/** How a log fares. */
export interface LogStatus {
  /** `reading`: another tab writes it. */
  mode: "writing" | "reading" | "ended";
  /** Committed entries. */
  size: number;
  signer: SignerKind;
  /** Whether scripts of the page could read the secret key; null where only its owner knows. */
  extractable: boolean | null;
  /**
   * `persistent`: only the person can have the browser delete the site's storage. `ephemeral`: the browser may, when
   * space is short; `navigator.storage.persist()` asks it not to.
   */
  storage: "persistent" | "ephemeral";
  /** Bytes that the whole site uses, and could still use, as far as the browser tells. */
  usedBytes: number | null;
  availableBytes: number | null;
  /** The last checkpoint that was signed, or null. */
  checkpoint: Checkpoint | null;
  /** Size and root of the last checkpoint that the anchor has, and when it took it (ms since 1970); or null. */
  anchored: { size: number; root: string; time: number } | null;
  /** Why the anchor did not take the last checkpoint, or null. */
  anchorError: string | null;
}

export interface EntriesOptions {
  /** Where to begin: 0, or one more than the last `seq` that was read. */
  from?: number;
  /** Goes on with what is committed later. */
  follow?: boolean;
  signal?: AbortSignal;
  /** Only entries for which all of this is so. */
  where?: EntryFilter;
}

/** What an entry must be; an entry that does not speak of a thing is not of any. */
export interface EntryFilter {
  types?: readonly EntryType[];
  /** An agent's name or id. */
  agent?: string;
  run?: string;
  /** The tool of a call: its intent, its denial. */
  tool?: string;
  decision?: "allow" | "deny";
  /** Of this time or later, and before that one: ms since 1970, by the clock of who wrote it. */
  since?: number;
  until?: number;
}

function matches(entry: Entry, { types, agent, run, tool, decision, since, until }: EntryFilter): boolean {
  const { name, id } = "agent" in entry ? entry.agent : {};
  return (
    (types === undefined || types.includes(entry.type)) &&
    (agent === undefined || agent === name || agent === id) &&
    (run === undefined || ("run" in entry && entry.run === run)) &&
    (tool === undefined || ("action" in entry && entry.action === `call:${tool}`)) &&
    (decision === undefined || ("decision" in entry && entry.decision === decision)) &&
    (since === undefined || entry.time >= since) &&
    (until === undefined || entry.time < until)
  );
}

export interface ExportOptions {
  /** Leaves out what an export of the first `since` entries held: `joinBundles` puts the two together. */
  since?: number;
  onProgress?: (progress: ExportProgress) => void;
  signal?: AbortSignal;
}

/** Entries read from storage at a time. */
const READ_BATCH = 256;

/** Names tried for a log of one's own. */
const MAX_OWN = 100;
const CHECKPOINT_MS = 10_000;
/** Milliseconds between two looks at a log that another tab is just making. */
const MAKING_MS = 20;

/**
 * Opens a log, makes it on first use, and holds it until it is closed: no other tab can write it meanwhile. What an
 * earlier session left open is closed by `outcome: unknown` and `recovery` entries.
 *
 * @throws VakError `log-in-use` when another tab or kernel writes it, `log-corrupt` when what is stored contradicts
 *   itself, `log-rollback` when it does not extend what its anchor has seen, `log-unavailable` when it cannot be opened
 *   or its anchor be asked, `aborted`, `unsupported` where there is no IndexedDB or no Web Locks
 * @example
 * const log = await openLog({ name: "default" });
 * const { seq } = await log.append({ type: "policy-load", policies: ["policy0"] }, { policy: text });
 */
export async function openLog({ name = "default", onBusy = "fail", signal, ...rest }: LogOptions): Promise<AuditLog> {
  if (!/^[\w.-]{1,64}$/.test(name)) {
    throw new VakError("invalid-argument", `"${name}" cannot name a log; use 1 to 64 letters, digits, ".", "_", "-".`);
  }
  if (!["fail", "wait", "read", "own"].includes(onBusy)) {
    throw new VakError("invalid-argument", `onBusy is ${JSON.stringify(onBusy)}; say "fail", "wait", "read" or "own".`);
  }
  if (!globalThis.navigator?.locks || !globalThis.indexedDB) {
    throw new VakError("unsupported", "The log needs IndexedDB and Web Locks; serve the page over https, unsandboxed.");
  }
  try {
    if (onBusy === "read") return await openForReading(name, rest);
    if (onBusy === "wait") return await openForWriting(name, (await takeLock(keyOf(name), { signal }))!, rest);
    for (let i = 1; i <= (onBusy === "own" ? MAX_OWN : 1); i++) {
      const own = i === 1 ? name : `${name.slice(0, 60)}.${i}`;
      const lock = await takeLock(keyOf(own));
      if (lock) return await openForWriting(own, lock, rest);
    }
  } catch (error) {
    if (error instanceof VakError) throw error;
    if (signal?.aborted) throw new VakError("aborted", "Waiting for the log was aborted.", { cause: error });
    throw unavailable(error);
  }
  throw inUse();
}

const STOLEN = "another tab took the log's lock";

const keyOf = (name: string): string => `vak:log:${name}`;

type Rest = Pick<LogOptions, "signer" | "anchor" | "checkpointMs">;

async function openForWriting(name: string, lock: Lock, rest: Rest): Promise<AuditLog> {
  let log: AuditLog | undefined;
  let lost: string | undefined;
  const onLost = (reason: string) => {
    lost ??= reason;
    log?.fail(new Error(reason));
  };
  lock.onStolen = () => onLost(STOLEN);
  let store: Store | undefined;
  try {
    store = await Store.open(keyOf(name), onLost);
    if (!(await store.identity()) && (await store.lastSeq()) < 0) await createIdentity(store, name, rest.signer);
    const loaded = await load(store, rest);
    log = new AuditLog(name, store, loaded, rest);
    if (lost !== undefined) log.fail(new Error(lost));
    await log.start(lock, loaded);
    return log;
  } catch (error) {
    store?.close();
    await lock.release();
    throw error;
  }
}

/** Opens for writing where nobody else does; otherwise for reading, as soon as there is something to read. */
async function openForReading(name: string, rest: Rest): Promise<AuditLog> {
  for (;;) {
    const lock = await takeLock(keyOf(name));
    if (lock) return openForWriting(name, lock, rest);
    let log: AuditLog | undefined;
    let lost: string | undefined;
    const store = await Store.open(keyOf(name), (reason) => {
      lost ??= reason;
      log?.fail(new Error(reason));
    });
    const [identity, head] = [await store.identity(), await store.head()];
    if (identity && head && lost === undefined) {
      log = new AuditLog(name, store, { identity, head, note: await store.checkpoint() }, rest);
      if (lost !== undefined) log.fail(new Error(lost));
      void log.read();
      return log;
    }
    store.close();
    await new Promise((done) => setTimeout(done, MAKING_MS));
  }
}

function inUse(): VakError {
  return new VakError(
    "log-in-use",
    'Another tab or kernel writes this log. Close it there, or say with onBusy to "wait", to "read", or to write your "own".',
  );
}

function unavailable(cause: unknown): VakError {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  // Chromium's QuotaExceededError has no message.
  const why = name === "QuotaExceededError" ? "the site's storage or the disk is full; free some" : message || name;
  return new VakError("log-unavailable", `The log cannot be written, so no effect may happen: ${why}.`, { cause });
}

/** Codes of the errors that end a log. */
const FATAL: readonly string[] = ["log-unavailable", "log-corrupt", "log-rollback"];

function closed(): VakError {
  return new VakError("closed", "The log was closed.");
}

function corrupt(what: string, cause?: unknown): VakError {
  const message = `The stored log contradicts itself: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-corrupt", message, { cause });
}

/** Where a log stands, and what is needed to go on. */
interface Opened {
  identity: Identity;
  head: Head;
  /** The last checkpoint. */
  note: string | undefined;
}

interface Loaded extends Opened {
  writer: Writer;
  /** The entries that opened what is still open. */
  open: Entry[];
}

/**
 * Reads where the log stands, and checks it against the entries, the tiles, the last checkpoint, what the anchor has
 * seen and what this tab has.
 */
async function load(store: Store, { signer, anchor }: Rest, seen?: TreeHead): Promise<Loaded> {
  const lastSeq = await store.lastSeq();
  const identity = await store.identity();
  const head = await store.head();
  if (!identity || !head) throw corrupt("there are entries, but no key or no head");
  if (lastSeq !== head.size - 1) throw corrupt(`its head says ${head.size} entries, the last is ${lastSeq}`);

  const edge = await readEdge(store, head.size);
  if (!equalBytes(edgeOf(head.size, edge).root(), head.root)) throw corrupt("its entries do not hash to its root");

  const { origin, key } = identity;
  const note = await store.checkpoint();
  if (note !== undefined) await checkCheckpoint(store, note, identity, head);
  if (seen) await checkExtends(store, head, seen, "this tab");
  if (anchor?.newest) {
    const newest = await inTime(anchor.newest(origin), "the anchor");
    if (newest !== undefined) {
      const anchored = parseCheckpoint(parseNote(toUtf8(newest)).text);
      if (anchored.origin !== origin) throw rollback("its anchor speaks of another log");
      await checkExtends(store, head, anchored, "its anchor");
    }
  }
  if (key.kind === "custom" ? !signer || !equalBytes(signer.publicKey, key.publicKey) : signer) {
    throw new VakError("invalid-argument", "The log is signed by another key than the signer's: rotate it instead.");
  }

  const open: Entry[] = [];
  const policies: string[] = [];
  const bases: string[] = [];
  let order: Order;
  try {
    for (const seq of head.open) open.push(parseEntry((await store.entry(seq)) ?? new Uint8Array()));
    for (const { digest, base } of await store.policies()) (base ? bases : policies).push(digest);
    order = Order.resume({ size: head.size, policy: head.policy, policies, open });
  } catch (error) {
    throw corrupt("what it says is still open is not", error);
  }
  return { identity, note, head, writer: new Writer(head, edge, order, bases), open };
}

async function createIdentity(store: Store, name: string, signer: Signer | undefined): Promise<void> {
  // A log is known by its origin alone, to a witness and to whoever compares two checkpoints: so it must be unique, and
  // must not claim a domain that belongs to someone. `.invalid` never will (RFC 6761).
  const origin = `vak.invalid/${bytesToHex(randomBytes(8))}/${name}`;
  const head = emptyHead();
  try {
    const key = signer ? customKey(signer) : await createWebCryptoKey();
    await store.putIdentity({ origin, key }, head);
  } catch (error) {
    // No Ed25519 in WebCrypto, or no CryptoKey in IndexedDB. Storage that fails must not cost the log its better key.
    if (!(error instanceof KeyUnavailable) && (error as Error).name !== "DataCloneError") throw error;
    await store.putIdentity({ origin, key: await createNobleKey() }, head);
  }
}

/** Whether the stored log begins with the tree that someone has seen. */
async function checkExtends(store: Store, head: Head, seen: TreeHead, who: string): Promise<void> {
  if (seen.size > head.size) throw rollback(`it has ${head.size} entries, ${who} has seen ${seen.size}`);
  const root = edgeOf(seen.size, await readEdge(store, seen.size)).root();
  if (!equalBytes(root, seen.root)) throw rollback(`its first ${seen.size} entries are not those that ${who} has seen`);
}

function rollback(what: string): VakError {
  const message = `The log was rolled back or replaced: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-rollback", message);
}

/** Milliseconds that an anchor may take. */
const ANCHOR_MS = 15_000;

async function inTime<T>(work: Promise<T>, who: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${who} did not answer for ${ANCHOR_MS} ms`)), ANCHOR_MS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
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

async function checkCheckpoint(store: Store, stored: string, { origin, key }: Identity, head: Head): Promise<void> {
  const { name, keyId } = ed25519Verifier(origin, key.publicKey);
  let signed: TreeHead;
  try {
    const note = parseNote(toUtf8(stored));
    const own = note.signatures.find((line) => line.name === name && equalBytes(line.keyId, keyId));
    if (!own || !(await verifyOwn(key, own.signature, toUtf8(note.text)))) throw new Error("its signature is wrong");
    signed = parseCheckpoint(note.text);
  } catch (error) {
    throw corrupt("its last checkpoint is not one that it signed", error);
  }
  if (signed.origin !== origin || signed.size > head.size) {
    throw corrupt(`its last checkpoint covers ${signed.size} entries, it has ${head.size}`);
  }
  const root = signed.size === head.size ? head.root : edgeOf(signed.size, await readEdge(store, signed.size)).root();
  if (!equalBytes(root, signed.root)) throw corrupt("its entries are not those of its last checkpoint");
}

function checkpointOf(note: string): Checkpoint {
  const { origin, size, root } = parseCheckpoint(parseNote(toUtf8(note)).text);
  return { origin, size, root: toBase64(root), note };
}

function decode(bytes: Uint8Array): Entry {
  return JSON.parse(fromUtf8(bytes));
}

interface Waiting {
  seq: number;
  resolve: (value: { seq: number }) => void;
  reject: (error: VakError) => void;
}

/** A log that is open; {@link openLog} makes it. */
export class AuditLog {
  /** Its name in this browser: another than was asked for where it is one's own. */
  readonly name: string;
  /** The name of the log and of its key. */
  readonly origin: string;
  /**
   * Settles when the log can take no more: with `log-unavailable` and its cause when it failed, or `log-rollback`, or
   * `log-corrupt`; with `closed` after {@link close}. It never rejects.
   */
  readonly failed: Promise<VakError>;
  /**
   * Resolves once this tab writes the log: at once, unless it was opened to `read` while another one did. Rejects with
   * what {@link failed} settles with, if that comes first.
   */
  readonly writable: Promise<void>;

  readonly #store: Store;
  readonly #rest: Rest;
  #lock: Lock | undefined;
  #identity: Identity;
  #verifier: Verifier;
  /** Undefined while another tab writes. */
  #writer: Writer | undefined;
  /** What is committed. */
  #head: Head;
  #ended: VakError | undefined;
  #closing = false;
  readonly #onEnded = Promise.withResolvers<VakError>();
  readonly #onWritable = Promise.withResolvers<void>();
  #waiting: Waiting[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  /** Replaced at each commit, for those who follow. */
  #changed = Promise.withResolvers<void>();
  #last: Checkpoint | undefined;
  #checkpointTimer: ReturnType<typeof setTimeout> | undefined;
  #anchored: LogStatus["anchored"] = null;
  #anchorError: string | null = null;
  /** Whether a checkpoint is with the anchor. */
  #anchoring = false;
  /** On which writers tell readers that there is more. */
  readonly #channel: BroadcastChannel;
  readonly #stopWaiting = new AbortController();

  /** @internal */
  constructor(name: string, store: Store, { identity, head, note }: Opened, rest: Rest) {
    this.name = name;
    this.#store = store;
    this.#rest = rest;
    this.#identity = identity;
    this.#verifier = ed25519Verifier(identity.origin, identity.key.publicKey);
    this.#head = head;
    this.origin = identity.origin;
    this.failed = this.#onEnded.promise;
    this.writable = this.#onWritable.promise;
    this.writable.catch(() => {});
    this.#last = note === undefined ? undefined : checkpointOf(note);
    this.#channel = new BroadcastChannel(keyOf(name));
  }

  /** The key that verifies its checkpoints, as C2SP signed-note writes it. */
  get vkey(): string {
    return formatVkey(this.#verifier);
  }

  /** Committed entries. */
  get size(): number {
    return this.#head.size;
  }

  /** Whether this tab writes the log; false while another one does. */
  get writing(): boolean {
    return this.#writer !== undefined && !this.#ended;
  }

  /**
   * Begins to write, with the lock held.
   *
   * @internal
   */
  async start(lock: Lock, { identity, writer, head, open, note }: Loaded): Promise<void> {
    this.#lock = lock;
    this.#identity = identity;
    this.#verifier = ed25519Verifier(identity.origin, identity.key.publicKey);
    this.#writer = writer;
    this.#head = head;
    this.#last = note === undefined ? undefined : checkpointOf(note);
    const { anchor } = this.#rest;
    // An anchor that cannot be asked what it has seen is told what there is, and says if it has seen more.
    if (anchor && !anchor.newest && this.#last) await this.#putToAnchor(anchor, this.#last);
    await this.#recover(open);
    if (this.#ended) throw this.#ended;
    this.#onWritable.resolve();
  }

  /**
   * While another tab writes: follows it until it is closed, or dies, and then goes on in its place.
   *
   * @internal
   */
  async read(): Promise<void> {
    const look = () => void this.#serially(() => this.#refresh());
    this.#channel.onmessage = look;
    look();
    let lock: Lock | undefined;
    try {
      lock = await takeLock(keyOf(this.name), { signal: this.#stopWaiting.signal });
      this.#channel.onmessage = null;
      await this.#tail;
      if (this.#ended) throw this.#ended;
      lock!.onStolen = () => this.fail(new Error(STOLEN));
      // This tab has been an anchor: what it has seen must still be there.
      await this.start(lock!, await load(this.#store, this.#rest, { origin: this.origin, ...this.#head }));
    } catch (error) {
      if (!this.#ended) this.fail(error);
      await lock?.release();
    }
  }

  /** Reads how far the tab that writes has come. */
  async #refresh(): Promise<void> {
    if (this.#ended || this.#writer) return;
    try {
      const [identity, head, note] = [
        await this.#store.identity(),
        await this.#store.head(),
        await this.#store.checkpoint(),
      ];
      if (!identity || !head || head.size < this.#head.size) throw rollback("it has become shorter");
      this.#identity = identity;
      this.#verifier = ed25519Verifier(identity.origin, identity.key.publicKey);
      this.#head = head;
      this.#last = note === undefined ? undefined : checkpointOf(note);
      this.#wake();
    } catch (error) {
      this.fail(error);
    }
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
    if (!this.#writer) throw inUse();
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
    const batch = this.#writer!.take();
    if (this.#ended || !batch) return;
    await this.#put(batch);
  }

  /** Commits a batch and settles those who wait for it. When that fails, the log has ended. */
  async #put(batch: Batch, rotate?: () => Promise<Parameters<Store["commit"]>[1]>): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      await this.#store.commit(batch, await rotate?.());
      if (this.#ended) throw this.#ended;
    } catch (error) {
      this.fail(error);
      for (const { reject } of waiting) reject(this.#ended!);
      return;
    }
    this.#head = batch.after;
    for (const { seq, resolve } of waiting) resolve({ seq });
    this.#wake();
    this.#channel.postMessage(null);
    this.#checkpointTimer ??= setTimeout(() => {
      this.#checkpointTimer = undefined;
      this.checkpoint().catch(() => {}); // whoever needs it will ask again, and be told
    }, this.#rest.checkpointMs ?? CHECKPOINT_MS);
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
    this.#end(cause instanceof VakError && FATAL.includes(cause.code) ? cause : unavailable(cause));
    void this.#lock?.release();
  }

  #end(error: VakError): void {
    if (this.#ended) return;
    this.#ended = error;
    clearTimeout(this.#checkpointTimer);
    this.#channel.close();
    this.#stopWaiting.abort();
    this.#store.close();
    this.#onWritable.reject(error);
    this.#onEnded.resolve(error);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
    this.#wake();
  }

  /** Opens a new log with its first entry, and closes what an earlier session left open. */
  async #recover(open: readonly Entry[]): Promise<void> {
    if (this.#head.size === 0) {
      const { key } = this.#identity;
      await this.#append({
        type: "log-open",
        origin: this.origin,
        vkey: this.vkey,
        signer: key.kind,
        extractable: extractable(key),
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
    if (!this.#writer) throw inUse();
    const { size, root } = this.#head;
    if (this.#last?.size === size) return this.#last;
    try {
      const note = await this.#sign({ size, root }, [this.#identity.key]);
      await this.#store.putCheckpoint(note, this.#head);
      if (this.#ended) throw this.#ended;
      this.#last = checkpointOf(note);
    } catch (error) {
      if (error instanceof VakError && error.code === "signer-failed") throw error;
      this.fail(error);
      throw this.#ended;
    }
    clearTimeout(this.#checkpointTimer);
    this.#checkpointTimer = undefined;
    this.#channel.postMessage(null);
    void this.#anchorLast();
    return this.#last;
  }

  async #sign(
    { size, root }: { size: number; root: Bytes },
    keys: StoredKey[],
    signer = this.#rest.signer,
  ): Promise<string> {
    const text = formatCheckpoint({ origin: this.origin, size, root });
    const signatures = [];
    for (const key of keys) {
      const { name, keyId } = ed25519Verifier(this.origin, key.publicKey);
      // When a key is replaced, two of the caller's own may have to sign, each with its own.
      const own = [signer, this.#rest.signer].find((one) => one && equalBytes(one.publicKey, key.publicKey));
      signatures.push({ name, keyId, signature: await sign(key, toUtf8(text), own) });
    }
    return fromUtf8(formatNote({ text, signatures }));
  }

  /**
   * Has another key sign from here on: the signer's, or without one a new key that the log makes. The old key and the new
   * one both sign the checkpoint over the entry that says so; after it the old one, if the log had made it, is forgotten.
   *
   * @throws VakError `signer-failed` when the new signer does not sign: nothing has changed then; otherwise as
   *   {@link append}
   */
  async rotate(signer?: Signer): Promise<Checkpoint> {
    const key = signer ? customKey(signer) : await this.#newKey();
    // Tried first, for a rotation that fails half-way ends the log.
    const trial = formatCheckpoint({ origin: this.origin, size: 0, root: emptyHead().root });
    await sign(key, toUtf8(trial), signer);
    return this.#serially(async () => {
      if (this.#ended) throw this.#ended;
      if (this.#closing) throw closed();
      if (!this.#writer) throw inUse();
      const { key: old } = this.#identity;
      const [previous, next] = [this.vkey, formatVkey(ed25519Verifier(this.origin, key.publicKey))];
      if (previous === next) throw new VakError("invalid-argument", "That key signs the log already.");
      const draft = { previous, vkey: next, signer: key.kind, extractable: extractable(key) };
      const seq = this.#writer.append({ type: "key-rotation", ...draft });
      // Taken in the same turn, so that the rotation is the last entry under its checkpoint.
      const batch = this.#writer.take()!;
      const identity: Identity = { origin: this.origin, key };
      let note = "";
      await this.#put(batch, async () => {
        note = await this.#sign(batch.after, [old, key], signer);
        return { identity, rotation: { seq, previous, note } };
      });
      if (this.#ended) throw this.#ended;
      this.#identity = identity;
      this.#verifier = ed25519Verifier(this.origin, key.publicKey);
      if (signer) this.#rest.signer = signer;
      else delete this.#rest.signer;
      this.#last = checkpointOf(note);
      void this.#anchorLast();
      return this.#last;
    });
  }

  async #newKey(): Promise<StoredKey> {
    if (this.#identity.key.kind === "noble") return createNobleKey();
    return createWebCryptoKey().catch((error: unknown) => {
      if (error instanceof KeyUnavailable) return createNobleKey();
      throw unavailable(error);
    });
  }

  /** Gives the anchor the last checkpoint, and whichever comes meanwhile. */
  async #anchorLast(): Promise<void> {
    const { anchor } = this.#rest;
    if (!anchor || this.#anchoring) return;
    this.#anchoring = true;
    for (let sent = -1; this.#last && this.#last.size !== sent && !this.#ended; ) {
      sent = this.#last.size;
      try {
        await this.#putToAnchor(anchor, this.#last);
      } catch (error) {
        if (error instanceof VakError && error.code === "log-rollback") this.fail(error);
        this.#anchorError = error instanceof Error ? error.message : String(error);
      }
    }
    this.#anchoring = false;
  }

  async #putToAnchor(anchor: Anchor, checkpoint: Checkpoint): Promise<void> {
    const lines = await inTime(Promise.resolve(anchor.put(checkpoint, this)), "the anchor");
    const { size, root } = checkpoint;
    this.#anchored = { size, root, time: Date.now() };
    this.#anchorError = null;
    if (!lines) return;
    const note = checkpoint.note + lines;
    if (parseNote(toUtf8(note)).text !== parseNote(toUtf8(checkpoint.note)).text) {
      throw new VakError("invalid-bundle", "What the anchor answered is not signature lines.");
    }
    await this.#serially(async () => {
      if (this.#ended || this.#last?.note !== checkpoint.note) return;
      await this.#store.putCheckpoint(note, this.#head).catch((error: unknown) => this.fail(error));
      this.#last = checkpointOf(note);
    });
  }

  /** How the log fares. Never throws: what the browser does not tell is null. */
  async status(): Promise<LogStatus> {
    const { key } = this.#identity;
    const [persisted, estimate] = await Promise.all([
      navigator.storage?.persisted?.().catch(() => false),
      navigator.storage?.estimate?.().catch(() => undefined),
    ]);
    const { usage, quota } = estimate ?? {};
    return {
      mode: this.#ended ? "ended" : this.#writer ? "writing" : "reading",
      size: this.#head.size,
      signer: key.kind,
      extractable: extractable(key),
      storage: persisted ? "persistent" : "ephemeral",
      usedBytes: usage ?? null,
      availableBytes: quota === undefined || usage === undefined ? null : Math.max(0, quota - usage),
      checkpoint: this.#last ?? null,
      anchored: this.#anchored,
      anchorError: this.#anchorError,
    };
  }

  /**
   * The log as a bundle (see `bundle.ts`), with a checkpoint that covers all of it: a zip. The log may grow meanwhile.
   *
   * @throws VakError `log-unavailable`, `log-corrupt`, `closed`, `aborted`, `log-in-use` where another tab writes the log
   *   and has not signed it yet, `unsupported` when it is too large for one zip
   */
  async export(options: ExportOptions = {}): Promise<Blob> {
    const { files } = await this.#files(options);
    return this.#reading(async () => (await import("./bundle.ts")).zipFiles(files));
  }

  /** As {@link export}, bit by bit: for a log that is large, into a file or over the network. */
  async exportStream(options: ExportOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { files } = await this.#files(options);
    const { zipChunks } = await import("./bundle.ts");
    const chunks = zipChunks(files);
    return new ReadableStream({
      pull: async (controller) => {
        const { done, value } = await this.#reading(() => chunks.next());
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async () => {
        await chunks.return(undefined);
      },
    });
  }

  /**
   * As {@link export}, into a directory: plain files, as C2SP tlog-tiles has them. Where an earlier export lies there, the
   * two become one.
   *
   * @returns the checkpoint that covers it; its `size` is what `since` is to be the next time
   * @throws what the file system throws, as well
   */
  async exportTo(directory: FileSystemDirectoryHandle, options: ExportOptions = {}): Promise<Checkpoint> {
    const { files, checkpoint } = await this.#files(options);
    const { writeFiles } = await import("./bundle.ts");
    await writeFiles(files, directory);
    return checkpoint;
  }

  async #files({ since = 0, onProgress, signal }: ExportOptions) {
    const checkpoint = this.#writer || !this.#last ? await this.checkpoint() : this.#last;
    const { note, size } = checkpoint;
    this.#checkSize(since, 0, "size", size);
    const { bundleFiles } = await import("./bundle.ts");
    const all = bundleFiles(this.#store, { note, size, vkey: this.vkey, since });
    const counted = async function* (): AsyncGenerator<BundleFile> {
      let bytes = 0;
      let entries = since;
      for await (const file of all) {
        if (signal?.aborted) throw new VakError("aborted", "The export was aborted.", { cause: signal.reason });
        yield file;
        bytes += file.bytes.length;
        if (file.path.startsWith("tile/entries/"))
          entries = Math.min(size, (Math.floor(entries / TILE_WIDTH) + 1) * TILE_WIDTH);
        onProgress?.({ entries, size, bytes });
      }
    };
    return { files: counted(), checkpoint };
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
    return this.#reading(async () => (await import("./prove.ts")).makeProof(this.#store, seq, note, size));
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
      const { proveConsistency } = await import("./prove.ts");
      return proveConsistency(this.#store, oldSize, newSize);
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
  async *entries({
    from = 0,
    follow = false,
    signal,
    where = {},
  }: EntriesOptions = {}): AsyncGenerator<LogRecord, void> {
    const wake = () => this.#wake();
    signal?.addEventListener("abort", wake);
    try {
      let next = from;
      while (!signal?.aborted) {
        const changed = this.#changed.promise;
        for await (const record of this.#read(next, this.#head.size)) {
          next = record.seq + 1;
          if (matches(record.entry, where)) yield record;
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
    await this.#lock?.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
