/** Entries about runs. */
import { count, counts, digest, integer, objectOf, oneOf, optional, orNull, text, texts } from "../fields.ts";
import { agent, type EntryOf, entry, labels } from "./common.ts";

/** A run of an agent's program begins. */
export interface RunStart extends EntryOf<typeof runStart> {}
export const runStart = entry("run-start", {
  agent,
  /** Unique to this run. */
  run: text,
  args: texts,
  /** Names of the environment's variables; their values may be secrets. */
  env: texts,
  /** What the guest's clock says at the start, ms since 1970. */
  startTime: count,
  /** Set when the clock is the real one: the run's trace then has each reading of it. */
  clock: optional(oneOf("real")),
  /**
   * Commitment to the environment's values and standard input (see `protocol/trace.ts`); null when they are not kept.
   */
  inputDigest: orNull(digest),
  /**
   * The run, of this or another log, that it resumes: that run's id, and the first call that is in this log. Earlier
   * calls were answered from the recording.
   */
  continues: optional(objectOf({ run: text, call: count })),
  /** Labels of its input; absent where there are none. */
  labels: optional(labels),
});

/** A part of the run's trace is stored while the run continues. */
export interface TracePart extends EntryOf<typeof tracePart> {}
export const tracePart = entry("trace", {
  agent,
  run: text,
  /** Its number among the run's parts, from 1. */
  part: count,
  /** Commitment to it (see `protocol/trace.ts`). */
  traceDigest: digest,
});

/** A run has ended. */
export interface RunEnd extends EntryOf<typeof runEnd> {}
export const runEnd = entry(
  "run-end",
  {
    agent,
    run: text,
    status: oneOf("exited", "trapped", "stopped", "failed"),
    /** Set when `exited`, otherwise null. */
    exitCode: orNull(integer),
    /** Set when `trapped`, otherwise null. */
    trap: orNull(text),
    /** Set when `stopped`: the limit that stopped it, or `aborted`; otherwise null. */
    limit: orNull(text),
    message: orNull(text),
    /** Whole numbers in the units of `usage`. */
    usage: counts,
    /** The run's digest; null when the run was lost. */
    digest: orNull(digest),
    /** Commitment to the rest of the run's trace, after its last {@link TracePart}; null when there is no trace. */
    traceDigest: orNull(digest),
    /** Why there is no trace, so that the run cannot be replayed; null when there is one. */
    untraced: orNull(text),
  },
  ({ status, exitCode, trap, limit, message, traceDigest, untraced }) => {
    const details = { exited: exitCode, trapped: trap, stopped: limit, failed: message };
    if (details[status] === null) return `a run that ${status} says how`;
    if (
      (exitCode !== null && status !== "exited") ||
      (trap !== null && status !== "trapped") ||
      (limit !== null && status !== "stopped")
    ) {
      return `a run that ${status} did not also end in another way`;
    }
    return (traceDigest === null) === (untraced === null) ? "a run has a trace, or says why it has none" : undefined;
  },
);
