/** The log's public face: an audit log in IndexedDB with one writer at a time, which fails closed. */

import type { Draft } from "../audit/entry.ts";
import { lazy } from "../base/lazy.ts";
import { takeLock } from "../base/lock.ts";
import { checkSignal } from "../base/signal.ts";
import { VakError } from "../errors.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { inUse, keyOf, type LiveLog, unavailable } from "./live-log.ts";
import { openLive } from "./open.ts";
import type { EntriesOptions, ExportOptions, LogOptions, LogRecord, LogStatus } from "./options.ts";
import type { Signer } from "./signer.ts";
import type { Attached } from "./writer.ts";

export type { Checkpoint } from "../tlog/checkpoint.ts";
export type { EntriesOptions, EntryFilter, ExportOptions, LogOptions, LogRecord, LogStatus } from "./options.ts";

/** How many names `onBusy: "own"` tries. */
const MAX_OWN = 100;

/**
 * Opens a log, creating it on first use, and holds it until it is closed: no other tab can write it meanwhile. Whatever
 * an earlier session left open is closed by `outcome: unknown` and `recovery` entries.
 *
 * @throws VakError `invalid-argument`, `log-in-use` if another tab or kernel is writing it, `log-corrupt` if what is
 *   stored contradicts itself, `log-rollback` if it does not extend what its anchor or this browser has seen,
 *   `log-unavailable` if it cannot be opened or its anchor does not answer, `aborted`, `unsupported` without IndexedDB
 *   or Web Locks
 * @example
 * const log = await openLog({ name: "default" });
 * const { seq } = await log.append({ type: "policy-load", policies: ["policy0"] }, { policy: text });
 */
export async function openLog({ name = "default", onBusy = "fail", signal, ...rest }: LogOptions): Promise<AuditLog> {
  if (!/^[\w.-]{1,64}$/.test(name)) {
    throw new VakError(
      "invalid-argument",
      `"${name}" is not a valid name for a log; use 1 to 64 letters, digits, ".", "_" and "-".`,
    );
  }
  if (!["fail", "wait", "read", "own"].includes(onBusy)) {
    throw new VakError(
      "invalid-argument",
      `onBusy is ${JSON.stringify(onBusy)}; set it to "fail", "wait", "read" or "own".`,
    );
  }
  if (!["fail", "forget", undefined].includes(rest.onLost)) {
    throw new VakError("invalid-argument", `onLost is ${JSON.stringify(rest.onLost)}; set it to "fail" or "forget".`);
  }
  checkSignal(signal);
  if (!globalThis.navigator?.locks || !globalThis.indexedDB) {
    throw new VakError(
      "unsupported",
      "The log needs IndexedDB and Web Locks: serve the page over https, and do not sandbox it.",
    );
  }
  try {
    signal?.throwIfAborted();
    if (onBusy === "read") {
      return new AuditLog(await (await lazy(import("./follow.ts"))).openForReading(name, rest, signal));
    }
    for (let i = 1; i <= (onBusy === "own" ? MAX_OWN : 1); i++) {
      const own = i === 1 ? name : `${name.slice(0, 60)}.${i}`;
      const lock = await takeLock(keyOf(own), onBusy === "wait" ? { signal } : undefined);
      if (lock) return new AuditLog(await openLive(own, rest, lock));
    }
  } catch (error) {
    if (error instanceof VakError) throw error;
    if (signal?.aborted) throw new VakError("aborted", "Opening the log was aborted.", { cause: error });
    throw unavailable(error);
  }
  throw inUse();
}

const reading = () => lazy(import("./reading.ts"));
const exporting = () => lazy(import("./exporting.ts"));

/** An open log; {@link openLog} opens it. */
export class AuditLog {
  /** Its name in this browser; with `onBusy: "own"` it may differ from the name that was asked for. */
  readonly name: string;
  /** The name of the log and of its key. */
  readonly origin: string;
  /**
   * Resolves when the log ends: with `log-unavailable` and its cause, `log-rollback` or `log-corrupt` if it failed, and
   * with `closed` after {@link close}. It never rejects.
   */
  readonly failed: Promise<VakError>;
  /**
   * Resolves once this tab writes the log: immediately, unless it was opened to `read` while another tab was writing.
   * Rejects with the error of {@link failed}, if that comes first.
   */
  readonly writable: Promise<void>;
  readonly #live: LiveLog;

  /** @internal */
  constructor(live: LiveLog) {
    this.#live = live;
    this.name = live.name;
    this.origin = live.identity.origin;
    this.failed = live.failed.promise;
    this.writable = live.writable.promise;
  }

  /** The key that verifies its checkpoints: a C2SP signed-note verifier key. */
  get vkey(): string {
    return this.#live.vkey;
  }

  /** The number of committed entries. */
  get size(): number {
    return this.#live.head.size;
  }

  /** Whether this tab writes the log; false while another one does. */
  get writing(): boolean {
    return this.#live.writer !== undefined && !this.#live.ended;
  }

  /**
   * Appends an entry. Resolves once it is on disk, with everything appended before it; what is appended in the same
   * turn of the event loop is committed together.
   *
   * @param attached the values kept beside the entry, from which the log computes its digests
   * @throws VakError `invalid-argument` if the entry is malformed, too long or out of order, which does not end the
   *   log; `log-unavailable` if it could not be committed, which does; `closed`
   */
  append(draft: Draft, attached: Attached = {}): Promise<{ seq: number }> {
    return this.#live.append(draft, attached);
  }

  /**
   * As {@link append}, without waiting for the disk: the caller must make sure that nothing has an effect until a later
   * entry is on disk, and with it this one. If it cannot be committed, {@link failed} resolves.
   *
   * @internal
   * @returns its `seq`
   */
  post(draft: Draft, attached: Attached = {}): number {
    return this.#live.post(draft, attached);
  }

  /**
   * Signs a checkpoint over everything appended so far.
   *
   * @throws VakError `signer-failed`, `log-unavailable`, `closed`
   */
  checkpoint(): Promise<Checkpoint> {
    return this.#live.checkpoint();
  }

  /**
   * Rotates to another key: the signer's, or without one, a new key that the log makes. The old and the new key both
   * sign the checkpoint over the entry that records the rotation; then the old key is deleted, if the log had made it.
   *
   * @throws VakError `signer-failed` if the new signer does not sign, and then nothing has changed; otherwise as
   *   {@link append}
   */
  async rotate(signer?: Signer): Promise<Checkpoint> {
    return (await lazy(import("./rotate.ts"))).rotate(this.#live, signer);
  }

  /** The log's status; null for what the browser does not say. */
  async status(): Promise<LogStatus> {
    return (await reading()).status(this.#live);
  }

  /**
   * Exports the log as a bundle, a zip with a checkpoint that covers all of it (see `bundle.ts`). The log may grow
   * meanwhile.
   *
   * @throws VakError `invalid-argument`, `log-unavailable`, `log-corrupt`, `closed`, `aborted`, `log-in-use` if another
   *   tab is writing the log and has not signed a checkpoint yet, `unsupported` if the log is too large for one zip
   */
  async export(options: ExportOptions = {}): Promise<Blob> {
    return (await exporting()).exportBlob(this.#live, options);
  }

  /** As {@link export}, as a stream: for a large log, to a file or over the network. */
  async exportStream(options: ExportOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return (await exporting()).exportStream(this.#live, options);
  }

  /**
   * As {@link export}, into a directory of plain files, as C2SP tlog-tiles lays them out. An earlier export in that
   * directory is extended, and values that were erased since then are deleted from it.
   *
   * @returns the checkpoint that covers it: pass its `size` as `since` next time
   * @throws as {@link export}, and whatever the file system throws
   */
  async exportTo(directory: FileSystemDirectoryHandle, options: ExportOptions = {}): Promise<Checkpoint> {
    return (await exporting()).exportTo(this.#live, directory, options);
  }

  /**
   * Makes a receipt which proves that entry `seq` is in the log: a C2SP tlog-proof, with the entry and a checkpoint.
   * `verifyProof` of `vak/audit` needs nothing but the log's key to verify it.
   *
   * @throws VakError `invalid-argument` if there is no such entry, `log-unavailable`, `closed`
   * @example const receipt = await log.prove(seq); // keep it as `name.tlog-proof`
   */
  async prove(seq: number): Promise<string> {
    return (await exporting()).prove(this.#live, seq);
  }

  /**
   * The consistency proof of RFC 6962 §2.1.2: hashes which prove that the tree of the first `newSize` entries extends
   * that of the first `oldSize`. Empty if `oldSize` is 0.
   *
   * @throws VakError `invalid-argument` unless 0 ≤ `oldSize` ≤ `newSize` ≤ `size`; `log-unavailable`, `closed`
   */
  async consistency(oldSize: number, newSize: number): Promise<Uint8Array[]> {
    return (await exporting()).consistency(this.#live, oldSize, newSize);
  }

  /**
   * The private value kept beside entry `seq`, with null in place of each secret that was never stored; undefined if
   * there is none, or if it was erased.
   *
   * @throws VakError `log-corrupt` if it is not the value that the entry commits to, `log-unavailable`, `closed`
   */
  async value(seq: number): Promise<unknown> {
    return (await reading()).value(this.#live, seq);
  }

  /**
   * Deletes the private value kept beside entry `seq`, and its salt, and records that in the log. The entry stays, and
   * so does its commitment, which reveals nothing about the value; the log still verifies. Copies remain in earlier
   * exports, and on disk until the browser's database overwrites them.
   *
   * @returns the `seq` of the entry that records the deletion
   * @throws VakError `not-found` if that entry has no value, or no longer has one; otherwise as {@link append}
   */
  async erase(seq: number): Promise<{ seq: number }> {
    return (await reading()).erase(this.#live, seq);
  }

  /**
   * The committed entries, starting at `from` (default 0). With `follow`, also those committed later, until the signal
   * aborts or the log ends.
   *
   * @throws VakError `invalid-argument`; `log-unavailable` or `closed` if the log ended before all of them were read
   */
  async *entries(options: EntriesOptions = {}): AsyncGenerator<LogRecord, void> {
    yield* (await reading()).entries(this.#live, options);
  }

  /** Commits what was appended, ends the log, and lets others write it. Safe to call twice. */
  close(): Promise<void> {
    return this.#live.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
