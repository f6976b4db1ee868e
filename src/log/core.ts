/**
 * A log that is open: where it stands, what is committed next, and how it ends. What a log that is only written does not
 * need is elsewhere, and loaded when it is asked for: `resume.ts`, `follow.ts`, `reading.ts`, `rotate.ts`, `anchoring.ts`.
 */

import type { Entry } from "../audit/entry.ts";
import { toBase64 } from "../base/base64.ts";
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { lazy } from "../base/lazy.ts";
import type { Lock } from "../base/lock.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { type Checkpoint, formatCheckpoint } from "../tlog/checkpoint.ts";
import { ed25519Verifier, formatNote, formatVkey } from "../tlog/note.ts";
import type { Database, Work } from "./database.ts";
import type { LogOptions, LogStatus } from "./options.ts";
import type { Identity } from "./records.ts";
import { type Signer, type StoredKey, sign } from "./signer.ts";
import type { Attached, Batch, Head, Writer } from "./writer.ts";

/** What of the options holds as long as the log is open. */
export type Settings = Pick<LogOptions, "signer" | "anchor" | "checkpointMs" | "onLost">;

/** Where a log stands. */
export interface Standing {
  identity: Identity;
  head: Head;
  /** The last checkpoint. */
  last: Checkpoint | undefined;
}

/** Where a log stands, checked, and what is needed to go on. */
export interface Loaded extends Standing {
  writer: Writer;
  /** The entries that opened what is still open. */
  open: Entry[];
}

interface Waiting {
  seq: number;
  resolve: (value: { seq: number }) => void;
  reject: (error: VakError) => void;
}

const CHECKPOINT_MS = 10_000;

/** ms after which an entry is committed that nobody waits for, and that no other came to be committed with. */
const POST_MS = 1;

/** Codes of the errors that end a log. */
const FATAL: readonly string[] = ["log-unavailable", "log-corrupt", "log-rollback"];

/** The lock, the database and the channel of the log of that name. */
export const keyOf = (name: string): string => `vak:log:${name}`;

export function inUse(): VakError {
  return new VakError(
    "log-in-use",
    'Another tab or kernel writes this log. Close it there, or say with onBusy to "wait", to "read", or to write your "own".',
  );
}

export function unavailable(cause: unknown): VakError {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  // Chromium's QuotaExceededError has no message.
  const why = name === "QuotaExceededError" ? "the site's storage or the disk is full; free some" : message || name;
  return new VakError("log-unavailable", `The log cannot be written, so no effect may happen: ${why}.`, { cause });
}

export function closed(): VakError {
  return new VakError("closed", "The log was closed.");
}

export class Core {
  readonly name: string;
  readonly database: Database;
  readonly settings: Settings;
  readonly failed = Promise.withResolvers<VakError>();
  readonly writable = Promise.withResolvers<void>();
  /** On which writers tell readers that there is more. */
  readonly channel: BroadcastChannel;
  /** Aborts when the log has ended. */
  readonly stopped = new AbortController();
  lock: Lock | undefined;
  identity!: Identity;
  /** Undefined while another tab writes. */
  writer: Writer | undefined;
  /** What is committed. */
  head!: Head;
  last: Checkpoint | undefined;
  ended: VakError | undefined;
  /** Called when another checkpoint is the last. */
  readonly onCheckpoint: (() => void)[] = [];
  anchored: LogStatus["anchored"] = null;
  anchorError: string | null = null;
  /** Whether a checkpoint is with the anchor. */
  anchoring = false;
  /** All that was begun and must not overlap. */
  tail: Promise<unknown> = Promise.resolve();
  /** What the browser's second place is being told (see `memory.ts`). */
  remembered: Promise<void> = Promise.resolve();
  /** Replaced at each commit, for those who follow. */
  changed = Promise.withResolvers<void>();
  #closing = false;
  #waiting: Waiting[] = [];
  /** Whether a commit of what waits is on its way, and the timer of one that is not. */
  #queued = false;
  #postTimer: ReturnType<typeof setTimeout> | undefined;
  #checkpointTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, database: Database, settings: Settings) {
    this.name = name;
    this.database = database;
    this.settings = { ...settings };
    this.writable.promise.catch(() => {});
    this.channel = new BroadcastChannel(keyOf(name));
  }

  stand({ identity, head, last }: Standing): void {
    this.identity = identity;
    this.head = head;
    this.last = last;
  }

  get vkey(): string {
    return formatVkey(ed25519Verifier(this.identity.origin, this.identity.key.publicKey));
  }

  /** What must be so for the log to be written now. */
  mayWrite(): Writer {
    if (this.ended) throw this.ended;
    if (this.#closing) throw closed();
    if (!this.writer) throw inUse();
    return this.writer;
  }

  async append(draft: Parameters<Writer["append"]>[0], attached?: Attached): Promise<{ seq: number }> {
    const { committed } = this.#enter(draft, attached);
    this.#flush();
    return committed;
  }

  /**
   * As {@link append}, for one who goes on before it is on disk: committed with what comes next, if that comes soon. Where it
   * cannot be, the log has failed, and says so.
   */
  post(draft: Parameters<Writer["append"]>[0], attached?: Attached): number {
    const { seq, committed } = this.#enter(draft, attached);
    committed.catch(() => {});
    // The timers of a page that nobody sees may run once a minute.
    if (globalThis.document?.hidden) this.#flush();
    else if (!this.#queued) this.#postTimer ??= setTimeout(() => this.#flush(), POST_MS);
    return seq;
  }

  #enter(draft: Parameters<Writer["append"]>[0], attached: Attached | undefined) {
    const seq = this.mayWrite().append(draft, attached);
    const { promise: committed, resolve, reject } = Promise.withResolvers<{ seq: number }>();
    this.#waiting.push({ seq, resolve, reject });
    return { seq, committed };
  }

  /** Has what was appended committed; what is appended until that begins is committed with it. */
  #flush(): void {
    clearTimeout(this.#postTimer);
    this.#postTimer = undefined;
    if (this.#queued || this.#waiting.length === 0) return;
    this.#queued = true;
    void this.#chain(() => this.#commit());
  }

  /** One after the other, behind all that was appended: commits and checkpoints never overlap. */
  serially<T>(job: () => Promise<T>): Promise<T> {
    this.#flush();
    return this.#chain(job);
  }

  #chain<T>(job: () => Promise<T>): Promise<T> {
    const result = this.tail.then(job);
    this.tail = result.catch(() => {});
    return result;
  }

  async #commit(): Promise<void> {
    this.#queued = false;
    const batch = this.writer!.take();
    if (this.ended || !batch) return;
    const { erased } = batch;
    const erasing = async (): Promise<Work> => {
      const { eraseValues } = await lazy(import("./erasing.ts"));
      return (transaction) => [eraseValues(transaction, erased)];
    };
    await this.put(batch, erased.length > 0 ? erasing : undefined);
  }

  /** Commits a batch and settles those who wait for it. When that fails, the log has ended. */
  async put(batch: Batch, also?: () => Promise<Work>): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      await this.database.commit(batch, await also?.());
      if (this.ended) throw this.ended;
    } catch (error) {
      this.fail(error);
      for (const { reject } of waiting) reject(this.ended!);
      return;
    }
    this.head = batch.after;
    for (const { seq, resolve } of waiting) resolve({ seq });
    this.wake();
    this.channel.postMessage(null);
    this.#checkpointTimer ??= setTimeout(() => {
      this.#checkpointTimer = undefined;
      this.checkpoint().catch(() => {}); // whoever needs it will ask again, and be told
    }, this.settings.checkpointMs ?? CHECKPOINT_MS);
  }

  wake(): void {
    this.changed.resolve();
    this.changed = Promise.withResolvers();
  }

  /** Ends the log: nothing is acknowledged from here on. */
  fail(cause: unknown): void {
    this.#end(cause instanceof VakError && FATAL.includes(cause.code) ? cause : unavailable(cause));
    void this.lock?.release();
  }

  #end(error: VakError): void {
    if (this.ended) return;
    this.ended = error;
    clearTimeout(this.#checkpointTimer);
    clearTimeout(this.#postTimer);
    this.channel.close();
    this.stopped.abort();
    this.database.close();
    this.writable.reject(error);
    this.failed.resolve(error);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
    this.wake();
  }

  checkpoint(): Promise<Checkpoint> {
    return this.serially(() => this.#checkpoint());
  }

  async #checkpoint(): Promise<Checkpoint> {
    if (this.ended) throw this.ended;
    if (!this.writer) throw inUse();
    const { size, root } = this.head;
    if (this.last?.size === size) return this.last;
    try {
      const checkpoint = await this.sign({ size, root }, [this.identity.key]);
      await this.database.putCheckpoint(checkpoint.note, this.head);
      if (this.ended) throw this.ended;
      this.last = checkpoint;
    } catch (error) {
      if (error instanceof VakError && error.code === "signer-failed") throw error;
      this.fail(error);
      throw this.ended;
    }
    clearTimeout(this.#checkpointTimer);
    this.#checkpointTimer = undefined;
    this.channel.postMessage(null);
    this.tellCheckpoint();
    return this.last;
  }

  tellCheckpoint(): void {
    for (const listener of this.onCheckpoint) listener();
  }

  async sign(
    { size, root }: { size: number; root: Bytes },
    keys: StoredKey[],
    signer = this.settings.signer,
  ): Promise<Checkpoint> {
    const { origin } = this.identity;
    const text = formatCheckpoint({ origin, size, root });
    const signatures = [];
    for (const key of keys) {
      const { name, keyId } = ed25519Verifier(origin, key.publicKey);
      // When a key is replaced, two of the caller's own may have to sign, each with its own.
      const own = [signer, this.settings.signer].find((one) => one && isKeyOf(one, key));
      signatures.push({ name, keyId, signature: await sign(key, toUtf8(text), own) });
    }
    return { origin, size, root: toBase64(root), note: fromUtf8(formatNote({ text, signatures })) };
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#flush();
    await this.tail;
    this.#end(closed());
    await this.remembered;
    await this.lock?.release();
  }
}

/** Whether the signer signs with this key. */
export function isKeyOf(signer: Signer, key: StoredKey): boolean {
  return equalBytes(signer.publicKey, key.publicKey);
}
