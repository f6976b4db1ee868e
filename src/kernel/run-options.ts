/** What a run is given: by the page, checked; or by a recording, when it is executed again. */
import { isCount } from "../base/guards.ts";
import { checkSignal } from "../base/signal.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import type { RunPrefix } from "../protocol/trace.ts";
import { toBytes } from "./own-bytes.ts";

export interface RunOptions {
  /** The program's arguments, after its name. */
  args?: string[];
  /** Standard input, all of it. */
  stdin?: string | BufferSource;
  env?: Record<string, string>;
  /** Stops the run: its result is then `stopped`, `aborted`. */
  signal?: AbortSignal;
  /** What the guest's clock says at the start, ms since 1970. The default is 2000-01-01, in every run. */
  startTime?: number;
  /**
   * `"virtual"`, the default: a clock that advances with the guest's work and sleep, the same in every execution.
   * `"real"`: the real time, in whole ms; each reading is kept in the trace, so that a replay reads the same. Files
   * that the guest changes get the time of its last reading.
   */
  clock?: "virtual" | "real";
  /**
   * Whether to keep, beside the log, what the run is given: stdin, the values of the environment, files, and where it
   * was stopped. True by default. Without a trace, neither this run nor a later one of the agent can be replayed, and
   * the log says so.
   */
  trace?: boolean;
  /** Labels of what the run is given (arguments, environment, stdin, input); the agent has them from here on. */
  labels?: readonly string[];
}

export type CallOptions = Pick<RunOptions, "signal" | "startTime" | "clock" | "trace" | "labels">;

/** A run's options, checked and copied. */
export type CheckedOptions = Required<Omit<RunOptions, "stdin" | "signal">> & {
  stdin: Uint8Array<ArrayBuffer>;
  signal: AbortSignal | undefined;
  call?: { name: string; input: Uint8Array<ArrayBuffer> };
};

/**
 * Bytes that the arguments and the names of the environment may have together: they are all in one entry of the log.
 */
const MAX_ARGS = 32 * 1024;

const DEFAULT_START_TIME = Date.UTC(2000, 0, 1);

/** @throws VakError `invalid-argument` */
export function checkRun(options: { [K in keyof RunOptions]: RunOptions[K] | undefined }): CheckedOptions {
  const { args = [], stdin = "", env = {}, signal, startTime, clock = "virtual", trace = true, labels = [] } = options;
  const invalid = (what: string) => new VakError("invalid-argument", `agent.run: ${what}.`);
  const clean = (text: unknown): text is string =>
    typeof text === "string" && text.isWellFormed() && !text.includes("\0");
  if (!Array.isArray(args) || !args.every(clean)) throw invalid("args must be strings without NUL");
  if (!Object.entries(env).every(([name, value]) => clean(name) && name && !name.includes("=") && clean(value))) {
    throw invalid('env must map names without "=" to strings without NUL');
  }
  const logged = toUtf8(JSON.stringify([args, Object.keys(env)])).byteLength;
  if (logged > MAX_ARGS) {
    throw invalid(`args and the names in env come to ${logged} bytes; at most ${MAX_ARGS} fit`);
  }
  const real = clock === "real";
  if (!real && clock !== "virtual") throw invalid('clock must be "virtual" or "real"');
  if (real && startTime !== undefined) throw invalid('startTime needs clock "virtual"');
  const time = startTime ?? (real ? Date.now() : DEFAULT_START_TIME);
  if (!isCount(time)) throw invalid("startTime must be a whole number of ms since 1970");
  checkSignal(signal);
  if (typeof trace !== "boolean") throw invalid("trace must be true or false");
  const given = { args: [...args], stdin: toBytes(stdin), env: { ...env }, labels: checkLabels(labels, "a run") };
  return { ...given, signal, startTime: time, clock, trace };
}

/** The options of a recorded run; the agent has their labels already. */
export const recordedOptions = (
  { args, env, stdin, startTime }: RunPrefix,
  signal: AbortSignal | undefined,
): CheckedOptions => ({
  ...{ args, env, startTime, clock: "virtual", signal, trace: true, labels: [] },
  stdin: toBytes(stdin as Uint8Array<ArrayBuffer>),
});

/** What the calls of a recorded run were answered. */
export const recordedAnswers = ({ calls }: RunPrefix): Uint8Array[] => calls.map(({ answer }) => toUtf8(answer));
