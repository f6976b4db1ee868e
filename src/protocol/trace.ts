/**
 * A trace: what a run took in from outside, and where, so that it can be executed again.
 *
 * It is kept as private values (see `audit/value.ts`), canonical JSON of at most {@link TRACE_BYTES} in all. Parts of
 * it are stored beside `trace` entries during the run, in the order in which the guest met what is in them; the
 * rest, and what is known only at the end, beside its `run-end`. What else a replay needs is in the log: limits, seed
 * and machine in `agent-spawn`; arguments and the time in `run-start`, with the environment and stdin beside it.
 */
import type { MountRef } from "../audit/vocabulary/mount.ts";
import type { MountShape, Point, SeedFile } from "./messages.ts";

/**
 * The most bytes of JSON that a trace (all its parts together) or a run's input may have. What is longer is not kept,
 * and the log says so.
 */
export const TRACE_BYTES = 16 * 2 ** 20;

/** A change that the page made to the agent's files: since the previous run, or during the run. */
export interface Change {
  path: string;
  /** What was written or made; null if it was removed. */
  data: SeedFile | null;
  /** Where in the run it took effect; null for a change before it. */
  at: Point | null;
}

/** A call, and what was answered. */
export interface RecordedCall {
  /** Units of work done before the call. */
  fuel: number;
  /** Bytes of the request. */
  requestBytes: number;
  /**
   * The JSON that the guest read; or the `seq` of the outcome beside which it is kept; or null if the run ended before
   * the guest read any.
   */
  answer: string | number | null;
}

/** How many bytes the page received of a stream, and their SHA-256, hex. */
export interface StreamDigest {
  bytes: number;
  digest: string;
}

/** What a run met, from its beginning to some point in it. */
export interface Met {
  /**
   * For an agent that resumes a recorded run (`kernel.fork`): the recorded runs, which are re-executed first. Empty for
   * any other run.
   */
  before: RunPrefix[];
  changes: Change[];
  calls: RecordedCall[];
  /** Readings of the real clock, as in `MetMessage`; empty if the run had the virtual clock. */
  readings: number[];
}

/** What a run met since the previous part. */
export interface Part extends Met {
  /** The answer to the last call of the previous parts, if it was not known by then. */
  answer?: string | number;
}

/** A part that was stored during the run. */
export interface StoredPart extends Part {
  /** Units of work done so far: up to there the run met nothing else. */
  fuel: number;
}

export interface Trace extends Met {
  /** Where the run was stopped, if it was asked to stop. */
  stop: Point | null;
  /** SHA-256 of the file tree at the end, hex. */
  files: string;
  stdout: StreamDigest;
  stderr: StreamDigest;
}

/** A run's input, as it is kept beside its `run-start`. */
export interface RunInput {
  env: Record<string, string>;
  /** For a call of a function, its input as JSON. */
  stdin: Uint8Array;
}

/** One of an agent's runs, as far as it is to be re-executed. */
export interface RunPrefix {
  /** Its place among the agent's runs, from 1. */
  number: number;
  args: string[];
  env: Record<string, string>;
  stdin: Uint8Array;
  startTime: number;
  /** The changes to the files before it. */
  changes: Change[];
  calls: AnsweredCall[];
}

/** A call whose answer is kept: the JSON that the guest read. */
export interface AnsweredCall extends RecordedCall {
  answer: string;
}

/**
 * A call of a recorded run and all that led there: where `kernel.fork` resumes. `forkPoint` of `vak/replay` makes it.
 */
export interface ForkPoint {
  /** The run's id in its log, and the number of the call that is made again. */
  run: string;
  call: number;
  /** The name of its agent. */
  name: string;
  program: string;
  machine: string;
  limits: Record<string, number>;
  seed: number;
  /** Absent if it had none. Their contents are among the changes; nothing keeps them any longer. */
  mounts?: MountRef[];
  /**
   * The labels of all that the agent had read before that call. What was declassified since has to be declassified
   * again.
   */
  labels: readonly string[];
  /** The agent's runs up to this one, the last. */
  runs: RunPrefix[];
}

/** What a program can notice of its agent's mounts. */
export const shapesOf = (mounts: readonly MountRef[] = []): MountShape[] =>
  mounts.map(({ path, from, readOnly, quotaBytes }) => ({
    ...{ path: path.slice(1), readOnly, quotaBytes },
    // The page's directory may be in a file system without links.
    links: from !== "directory",
  }));
