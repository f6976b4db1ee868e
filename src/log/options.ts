/** What a log is told when it is opened and read, and what it tells. */

import type { ExportProgress } from "../audit/bundle.ts";
import type { Entry, EntryType } from "../audit/entry.ts";
import type { SignerKind } from "../audit/vocabulary/log.ts";
import type { Anchor } from "../tlog/anchor.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import type { Signer } from "./signer.ts";

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
  /**
   * What to do where the browser has lost the log's database, but still knows of the log:
   * - `fail` (the default): throw `log-rollback`;
   * - `forget`: begin a new log, of the same name and with another origin.
   */
  onLost?: "fail" | "forget";
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

export interface ExportOptions {
  /** Leaves out what an export of the first `since` entries held: `joinBundles` puts the two together. */
  since?: number;
  /** Programs to put in, so that whoever has the bundle can replay their runs. Each must have been an agent's. */
  programs?: readonly BufferSource[];
  onProgress?: (progress: ExportProgress) => void;
  signal?: AbortSignal;
}
