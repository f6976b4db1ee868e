/** What a replay returns: the verdict, the steps, and the state inside the run. */
import type { Divergence } from "./divergence.ts";
import type { Until } from "./until.ts";

/** The result of executing a run again. */
export interface Replay {
  /** The run's id. */
  run: string;
  /**
   * `interrupted`: the recording ends before the run did, because the page or the worker was gone, and everything that
   * was recorded is the same: {@link Replay.calls} calls, {@link Replay.fuel} units of work. `incomplete`: it was the
   * same as far as it could be followed. For both, {@link Replay.missing} says what is missing.
   */
  verdict: "same" | "diverged" | "interrupted" | "incomplete";
  /** The first difference, if it diverged. */
  divergence: Divergence | null;
  missing: string | null;
  /** Calls that were compared. */
  calls: number;
  /** Units of work done. */
  fuel: number;
  /** What could not be compared, because the bundle does not have it. */
  notCompared: string[];
  /** The state where the replay was to stop (`until`), or at its end if it did not get that far. */
  state?: State;
  /** Each call, with how far the run had come (`steps`). */
  steps?: Step[];
}

/** A call of a run, and how far the run had come when it made it. */
export interface Step {
  /** Its number, from 1. */
  call: number;
  fuel: number;
  /** As the program wrote it, and as it read it; null where it read nothing, or the bundle does not have it. */
  request: string;
  answer: string | null;
  memoryBytes: number;
  /** Bytes printed so far. */
  stdout: number;
  stderr: number;
}

/** What to look at during a replay. */
export interface ReplayView {
  until?: Until | undefined;
  steps?: boolean | undefined;
}

/** The inside of a run, at some point of its execution. */
export interface State {
  /** Whether this is the point that was asked for; otherwise it is where the run ended. */
  reached: boolean;
  /** Calls made so far, including the one that waits for its answer. */
  calls: number;
  fuel: number;
  /** The request that waits for its answer, as the program wrote it. */
  request: string | null;
  /** A copy of the linear memory; empty where there is none. */
  memory: Uint8Array<ArrayBuffer>;
  /** By index; those whose type JavaScript cannot hold are left out. */
  globals: Record<number, number | bigint>;
  /** The contents of files, by path; directories are in {@link State.directories}. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
  directories: string[];
  stdout: Uint8Array<ArrayBuffer>;
  stderr: Uint8Array<ArrayBuffer>;
}
