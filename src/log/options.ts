/** The options of an audit log's methods, and the records and status that they return. */

import type { ExportProgress } from "../audit/bundle-files.ts";
import type { Entry, EntryType } from "../audit/entry.ts";
import type { SignerKind } from "../audit/vocabulary/log.ts";
import type { Anchor } from "../tlog/anchor.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import type { Signer } from "./signer.ts";

export interface LogRecord {
  seq: number;
  entry: Entry;
  /** The bytes of the entry that were hashed. */
  bytes: Uint8Array;
}

export interface LogOptions {
  /** 1 to 64 letters, digits, `.`, `_` and `-`; "default" by default. */
  name?: string;
  /**
   * What to do if another tab or kernel is writing this log:
   * - `fail` (the default): throw `log-in-use`;
   * - `wait`: wait until it is free, or `signal` aborts;
   * - `read`: open it for reading, follow what is written, and write once it is free (see {@link AuditLog.writable});
   * - `own`: write another log, `<name>.2` or the next name that is free.
   */
  onBusy?: "fail" | "wait" | "read" | "own";
  /**
   * What to do if the browser has lost the log's database, but still remembers the log:
   * - `fail` (the default): throw `log-rollback`;
   * - `forget`: start a new log, with the same name and another origin.
   */
  onLost?: "fail" | "forget";
  /** Aborts waiting for a log that another tab or kernel is writing. Once the log is free, it has no effect. */
  signal?: AbortSignal;
  /** Signs in place of a key that the log makes; needed again each time the log is opened. */
  signer?: Signer;
  /** Remembers checkpoints outside this browser; the log must extend the newest of them. */
  anchor?: Anchor;
  /** Milliseconds within which new entries are covered by a signed checkpoint; 10,000 by default. */
  checkpointMs?: number;
}

/** The status of a log. */
export interface LogStatus {
  /** `reading`: another tab is writing it. */
  mode: "writing" | "reading" | "ended";
  /** The number of committed entries. */
  size: number;
  signer: SignerKind;
  /** Whether the page's scripts could read the secret key; null if only its owner knows. */
  extractable: boolean | null;
  /**
   * `persistent`: only the user can delete the site's storage. `ephemeral`: the browser may delete it when space is
   * short; `navigator.storage.persist()` asks it not to.
   */
  storage: "persistent" | "ephemeral";
  /** Bytes that the whole site uses, and bytes that it could still use; null if the browser does not say. */
  usedBytes: number | null;
  availableBytes: number | null;
  /** The last signed checkpoint, or null. */
  checkpoint: Checkpoint | null;
  /** Size and root of the last checkpoint that the anchor accepted, and when (ms since 1970); or null. */
  anchored: { size: number; root: string; time: number } | null;
  /** Why the anchor did not accept the last checkpoint, or null. */
  anchorError: string | null;
}

export interface EntriesOptions {
  /** Where to start, such as one more than the last `seq` that was read; 0 by default. */
  from?: number;
  /** Also yields what is committed later. */
  follow?: boolean;
  /** Ends it without an error. */
  signal?: AbortSignal;
  /** Only entries that match all of this. */
  where?: EntryFilter;
}

/** What an entry must match; an entry without a given field matches no filter on that field. */
export interface EntryFilter {
  types?: readonly EntryType[];
  /** An agent's name or id. */
  agent?: string;
  run?: string;
  /** The tool of a call: matches its intent or its denial. */
  tool?: string;
  decision?: "allow" | "deny";
  /** Written at `since` or later, and before `until`: ms since 1970, by the writer's clock. */
  since?: number;
  until?: number;
}

export interface ExportOptions {
  /** Leaves out what an export of the first `since` entries contains; `joinBundles` joins the two. */
  since?: number;
  /** Programs to include, so that their runs can be replayed from the bundle. Each must be the program of an agent. */
  programs?: readonly BufferSource[];
  onProgress?: (progress: ExportProgress) => void;
  /** Gives up: the export throws `aborted`. */
  signal?: AbortSignal;
}
