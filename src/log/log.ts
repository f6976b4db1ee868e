/** A log, as its users have it: one writer at a time, in IndexedDB, failing closed. */

import type { Draft } from "../audit/entry.ts";
import { lazy } from "../base/lazy.ts";
import { takeLock } from "../base/lock.ts";
import { VakError } from "../errors.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { type Core, inUse, keyOf, unavailable } from "./core.ts";
import { openCore } from "./open.ts";
import type { EntriesOptions, ExportOptions, LogOptions, LogRecord, LogStatus } from "./options.ts";
import type { Signer } from "./signer.ts";
import type { Attached } from "./writer.ts";

export type { Checkpoint } from "../tlog/checkpoint.ts";
export type { EntriesOptions, EntryFilter, ExportOptions, LogOptions, LogRecord, LogStatus } from "./options.ts";

/** Names tried for a log of one's own. */
const MAX_OWN = 100;

/**
 * Opens a log, makes it on first use, and holds it until it is closed: no other tab can write it meanwhile. What an
 * earlier session left open is closed by `outcome: unknown` and `recovery` entries.
 *
 * @throws VakError `log-in-use` when another tab or kernel writes it, `log-corrupt` when what is stored contradicts
 *   itself, `log-rollback` when it does not extend what its anchor or this browser has seen, `log-unavailable` when it cannot be opened
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
  if (!["fail", "forget", undefined].includes(rest.onLost)) {
    throw new VakError("invalid-argument", `onLost is ${JSON.stringify(rest.onLost)}; say "fail" or "forget".`);
  }
  if (!globalThis.navigator?.locks || !globalThis.indexedDB) {
    throw new VakError("unsupported", "The log needs IndexedDB and Web Locks; serve the page over https, unsandboxed.");
  }
  try {
    signal?.throwIfAborted();
    if (onBusy === "read") {
      return new AuditLog(await (await lazy(import("./follow.ts"))).openForReading(name, rest, signal));
    }
    for (let i = 1; i <= (onBusy === "own" ? MAX_OWN : 1); i++) {
      const own = i === 1 ? name : `${name.slice(0, 60)}.${i}`;
      const lock = await takeLock(keyOf(own), onBusy === "wait" ? { signal } : undefined);
      if (lock) return new AuditLog(await openCore(own, rest, lock));
    }
  } catch (error) {
    if (error instanceof VakError) throw error;
    if (signal?.aborted) throw new VakError("aborted", "The opening of the log was aborted.", { cause: error });
    throw unavailable(error);
  }
  throw inUse();
}

const reading = () => lazy(import("./reading.ts"));
const exporting = () => lazy(import("./exporting.ts"));

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
  readonly #core: Core;

  /** @internal */
  constructor(core: Core) {
    this.#core = core;
    this.name = core.name;
    this.origin = core.identity.origin;
    this.failed = core.failed.promise;
    this.writable = core.writable.promise;
  }

  /** The key that verifies its checkpoints, as C2SP signed-note writes it. */
  get vkey(): string {
    return this.#core.vkey;
  }

  /** Committed entries. */
  get size(): number {
    return this.#core.head.size;
  }

  /** Whether this tab writes the log; false while another one does. */
  get writing(): boolean {
    return this.#core.writer !== undefined && !this.#core.ended;
  }

  /**
   * Appends an entry. Resolves once it is on disk, with everything appended before it; what is appended in one turn is
   * committed together.
   *
   * @param attached what is kept beside the entry, from which the log computes its digests
   * @throws VakError `invalid-argument` when the entry is malformed, too long or out of order: the log goes on;
   *   `log-unavailable` when it could not be committed: the log has ended; `closed`
   */
  append(draft: Draft, attached: Attached = {}): Promise<{ seq: number }> {
    return this.#core.append(draft, attached);
  }

  /**
   * @internal As {@link append}, without waiting: whoever goes on has to see to it that nothing has an effect before a
   * later entry is on disk, and with it this one. Where it cannot be committed, {@link failed} says so.
   *
   * @returns its `seq`
   */
  post(draft: Draft, attached: Attached = {}): number {
    return this.#core.post(draft, attached);
  }

  /**
   * Signs what the log is now, everything appended so far included.
   *
   * @throws VakError `log-unavailable`, `closed`
   */
  checkpoint(): Promise<Checkpoint> {
    return this.#core.checkpoint();
  }

  /**
   * Has another key sign from here on: the signer's, or without one a new key that the log makes. The old key and the new
   * one both sign the checkpoint over the entry that says so; after it the old one, if the log had made it, is forgotten.
   *
   * @throws VakError `signer-failed` when the new signer does not sign: nothing has changed then; otherwise as
   *   {@link append}
   */
  async rotate(signer?: Signer): Promise<Checkpoint> {
    return (await lazy(import("./rotate.ts"))).rotate(this.#core, signer);
  }

  /** How the log fares. What the browser does not tell is null. */
  async status(): Promise<LogStatus> {
    return (await reading()).status(this.#core);
  }

  /**
   * The log as a bundle (see `bundle.ts`), with a checkpoint that covers all of it: a zip. The log may grow meanwhile.
   *
   * @throws VakError `log-unavailable`, `log-corrupt`, `closed`, `aborted`, `log-in-use` where another tab writes the log
   *   and has not signed it yet, `unsupported` when it is too large for one zip
   */
  async export(options: ExportOptions = {}): Promise<Blob> {
    return (await exporting()).exportBlob(this.#core, options);
  }

  /** As {@link export}, bit by bit: for a log that is large, into a file or over the network. */
  async exportStream(options: ExportOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return (await exporting()).exportStream(this.#core, options);
  }

  /**
   * As {@link export}, into a directory: plain files, as C2SP tlog-tiles has them. Where an earlier export lies there, the
   * two become one, and values that were erased since are deleted.
   *
   * @returns the checkpoint that covers it; its `size` is what `since` is to be the next time
   * @throws what the file system throws, as well
   */
  async exportTo(directory: FileSystemDirectoryHandle, options: ExportOptions = {}): Promise<Checkpoint> {
    return (await exporting()).exportTo(this.#core, directory, options);
  }

  /**
   * A receipt that entry `seq` is in the log: a C2SP tlog-proof, which holds the entry and a checkpoint. `verifyProof` of
   * `vak/audit` verifies it, with the log's key and nothing else.
   *
   * @throws VakError `invalid-argument` when there is no such entry, `log-unavailable`, `closed`
   * @example const receipt = await log.prove(seq); // keep it as `name.tlog-proof`
   */
  async prove(seq: number): Promise<string> {
    return (await exporting()).prove(this.#core, seq);
  }

  /**
   * RFC 6962 §2.1.2: the hashes which prove that the log's first `newSize` entries begin with its first `oldSize`. None
   * are needed where `oldSize` is 0.
   *
   * @throws VakError `invalid-argument` unless 0 ≤ `oldSize` ≤ `newSize` ≤ `size`; `log-unavailable`, `closed`
   */
  async consistency(oldSize: number, newSize: number): Promise<Uint8Array[]> {
    return (await exporting()).consistency(this.#core, oldSize, newSize);
  }

  /**
   * The private value kept beside entry `seq`, with null in place of each secret that was never stored; undefined when
   * there is none, or when it was erased.
   *
   * @throws VakError `log-corrupt` when it is not the value that the entry commits to; `log-unavailable`, `closed`
   */
  async value(seq: number): Promise<unknown> {
    return (await reading()).value(this.#core, seq);
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
    return (await reading()).erase(this.#core, seq);
  }

  /**
   * The committed entries from `from` (0) on. With `follow`, also those that are committed later, until the signal
   * aborts or the log ends.
   *
   * @throws VakError `log-unavailable` or `closed` when the log ended before all of them were read
   */
  async *entries(options: EntriesOptions = {}): AsyncGenerator<LogRecord, void> {
    yield* (await reading()).entries(this.#core, options);
  }

  /** Commits what was appended, gives the log free for others and ends it. Safe to call twice. */
  close(): Promise<void> {
    return this.#core.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
