/** How a run ended: its result, its log entry, and the digest of its output. */
import { canonicalBytes } from "../base/canonical.ts";
import { clip } from "../base/clip.ts";
import { sha256Hex } from "../base/sha256.ts";
import type { VakError } from "../errors.ts";
import type { Trap } from "../protocol/messages.ts";
import type { StreamDigest } from "../protocol/trace.ts";

/** What a run used. */
export interface Usage {
  /** Units of work; null when the worker was lost and cannot say, or the run was stopped before it began. */
  fuel: number | null;
  /** Peak bytes of linear memory; null when the worker was lost and cannot say, or the run never began. */
  memoryBytes: number | null;
  /** Wall-clock ms from start to end, waiting included. */
  wallMs: number;
  /** Bytes written to stdout and stderr. */
  outputBytes: number;
  /** Bytes that the agent's files hold at the end; null when the worker was lost or the run never began. */
  fileBytes: number | null;
  /** Calls made, malformed and denied ones included. */
  calls: number;
}

/**
 * What ended a run early: a limit, the caller (`aborted`), a log that could no longer be written, or mounts that could
 * not be read before it.
 */
export type StopLimit = "fuel" | "deadline" | "output" | "calls" | "aborted" | "log-unavailable" | "files-unavailable";

/** How a run ended. */
export type RunOutcome =
  /** `value` is what a reactor's function answered; a command has none. */
  | { status: "exited"; exitCode: number; value?: unknown }
  | { status: "trapped"; trap: Trap; message: string }
  | { status: "stopped"; limit: StopLimit }
  /** The worker was lost, or the browser could not hold the program (`createKernel({ onFull })`). */
  | { status: "failed"; message: string };

export type RunResult = RunOutcome & {
  usage: Usage;
  /**
   * SHA-256, hex, of the canonical JSON of `{ files, outcome, stderr, stdout }`: the digests of the file tree and of
   * the two streams, and how the run ended, with the digest of a function's answer and without the engine's own
   * message. The same in every browser. Null when the worker was lost, and its files with it, or when the run never
   * began.
   */
  digest: string | null;
  /**
   * Why the agent's mounts could not be read before the run, or not everything it left in them could be written back:
   * `files-conflict`, `files-denied`, `files-in-use` or `files-unavailable`. What was not written stays in the agent's
   * files, and is tried again after the next run. Absent if all went well.
   */
  filesError?: VakError;
};

/**
 * @param answer what a function answered, as JSON
 * @param files the digest of the file tree
 */
export function runDigest(
  outcome: RunOutcome,
  answer: Uint8Array | undefined,
  files: string,
  stdout: StreamDigest,
  stderr: StreamDigest,
): string {
  // The message of a trap differs from engine to engine; its name does not.
  const { message: _, value: __, ...rest } = { message: "", value: undefined, ...outcome };
  const digested = answer ? { ...rest, value: sha256Hex(answer) } : rest;
  return sha256Hex(canonicalBytes({ files, outcome: digested, stderr: stderr.digest, stdout: stdout.digest }));
}

/** Longest message of a run's end in the log, UTF-16 units. */
const MAX_MESSAGE = 1000;

/** The fields of a `run-end` entry that the result decides. */
export function loggedEnd(result: RunResult) {
  const usage = Object.entries(result.usage).filter((item): item is [string, number] => item[1] !== null);
  return {
    status: result.status,
    exitCode: result.status === "exited" ? result.exitCode : null,
    trap: result.status === "trapped" ? result.trap : null,
    limit: result.status === "stopped" ? result.limit : null,
    message: "message" in result ? clip(result.message, MAX_MESSAGE) : null,
    usage: Object.fromEntries(usage),
    digest: result.digest,
  };
}
