/**
 * The state machine of an open log: what is committed, what is committed next, and how the log ends. Whatever a log
 * that is only written does not need is loaded on demand: `resume.ts`, `follow.ts`, `reading.ts`, `rotate.ts`,
 * `anchoring.ts`.
 */

import type { Entry } from "../audit/entry.ts";
import { toBase64 } from "../base/base64.ts";
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { errorText } from "../base/error-text.ts";
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

/** The options that apply for as long as the log is open. */
export type Settings = Pick<LogOptions, "signer" | "anchor" | "checkpointMs" | "onLost">;

/** What has been committed, by whom, and the last checkpoint over it. */
export interface State {
  identity: Identity;
  head: Head;
  last: Checkpoint | undefined;
}

/** The state of a stored log that has passed its checks, with all that is needed to write it. */
export interface Loaded extends State {
  writer: Writer;
  /** The entries that opened agents, runs and calls which were never closed. */
  open: Entry[];
}

interface Pending {
  seq: number;
  resolve: (value: { seq: number }) => void;
  reject: (error: VakError) => void;
}

const CHECKPOINT_MS = 10_000;

/** Milliseconds that a posted entry waits for another to be committed with. */
const POST_MS = 1;

/** The error codes that end a log as they are; any other error ends it as `log-unavailable`. */
const FATAL: readonly string[] = ["log-unavailable", "log-corrupt", "log-rollback"];

/** The name of the log's lock, database and channel. */
export const keyOf = (name: string): string => `vak:log:${name}`;

export function inUse(): VakError {
  return new VakError(
    "log-in-use",
    'Another tab or kernel is writing this log. Close it there, or set onBusy to "wait", "read" or "own".',
  );
}

export function unavailable(cause: unknown): VakError {
  const { name, message } = cause instanceof Error ? cause : new Error(errorText(cause));
  // Chromium's QuotaExceededError has no message.
  const why = name === "QuotaExceededError" ? "the site's storage or the disk is full; free some" : message || name;
  return new VakError("log-unavailable", `The log cannot be written, so no effect may happen: ${why}.`, { cause });
}

export function closed(): VakError {
  return new VakError("closed", "The log was closed.");
}

export class LiveLog {
  readonly name: string;
  readonly database: Database;
  readonly settings: Settings;
  readonly failed = Promise.withResolvers<VakError>();
  readonly writable = Promise.withResolvers<void>();
  /** The writer announces new entries here. */
  readonly channel: BroadcastChannel;
  /** Aborts when the log has ended. */
  readonly stopped = new AbortController();
  lock: Lock | undefined;
  identity!: Identity;
  /** Undefined while another tab is the writer. */
  writer: Writer | undefined;
  /** What has been committed. */
  head!: Head;
  last: Checkpoint | undefined;
  ended: VakError | undefined;
  /** Called after each new checkpoint. */
  readonly onCheckpoint: (() => void)[] = [];
  anchored: LogStatus["anchored"] = null;
  anchorError: string | null = null;
  /** Whether the anchor is being sent a checkpoint. */
  anchoring = false;
  /** The last of the jobs that must not overlap. */
  tail: Promise<unknown> = Promise.resolve();
  /** The last update of `rollback-guard.ts`. */
  remembered: Promise<void> = Promise.resolve();
  /** Resolved and replaced at each commit, for readers that follow. */
  changed = Promise.withResolvers<void>();
  #closing = false;
  #waiting: Pending[] = [];
  /** Whether a commit is queued for what waits; and the timer that queues one. */
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

  setState({ identity, head, last }: State): void {
    this.identity = identity;
    this.head = head;
    this.last = last;
  }

  get vkey(): string {
    return formatVkey(ed25519Verifier(this.identity.origin, this.identity.key.publicKey));
  }

  /** @throws VakError `log-in-use`, `closed`, or the error with which the log ended */
  requireWriter(): Writer {
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
   * As {@link append}, without waiting for the disk: the entry is committed with what comes next, if that comes soon.
   * If it cannot be committed, the log ends, and `failed` says why.
   */
  post(draft: Parameters<Writer["append"]>[0], attached?: Attached): number {
    const { seq, committed } = this.#enter(draft, attached);
    committed.catch(() => {});
    // In a hidden page, timers may run only once a minute.
    if (globalThis.document?.hidden) this.#flush();
    else if (!this.#queued) this.#postTimer ??= setTimeout(() => this.#flush(), POST_MS);
    return seq;
  }

  #enter(draft: Parameters<Writer["append"]>[0], attached: Attached | undefined) {
    const seq = this.requireWriter().append(draft, attached);
    const { promise: committed, resolve, reject } = Promise.withResolvers<{ seq: number }>();
    this.#waiting.push({ seq, resolve, reject });
    return { seq, committed };
  }

  /** Queues a commit of what was appended, and of what is appended before that commit begins. */
  #flush(): void {
    clearTimeout(this.#postTimer);
    this.#postTimer = undefined;
    if (this.#queued || this.#waiting.length === 0) return;
    this.#queued = true;
    void this.#chain(() => this.#commit());
  }

  /** Runs jobs one at a time, after everything appended so far: commits and checkpoints never overlap. */
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

  /** Commits a batch and settles those who wait for it. If that fails, the log ends. */
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
      this.checkpoint().catch(() => {}); // whoever needs a checkpoint asks for it, and then gets the error
    }, this.settings.checkpointMs ?? CHECKPOINT_MS);
  }

  wake(): void {
    this.changed.resolve();
    this.changed = Promise.withResolvers();
  }

  /** Ends the log with an error: nothing is acknowledged from here on. */
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
    this.announceCheckpoint();
    return this.last;
  }

  announceCheckpoint(): void {
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
      // While keys rotate, two of the caller's signers may have to sign, each for its own key.
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

/** Whether the signer signs with that key. */
export function isKeyOf(signer: Signer, key: StoredKey): boolean {
  return equalBytes(signer.publicKey, key.publicKey);
}
