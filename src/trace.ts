/**
 * A trace: what a run took in from outside while it ran, and where, so that it can be executed again. It is kept as the
 * private value beside the run's `run-end` (see `audit/value.ts`): canonical JSON of at most {@link TRACE_BYTES}. What
 * else a replay needs is in the log: limits, seed and machine in `agent-spawn`; arguments, the time, and beside it the
 * environment and stdin in `run-start`.
 */
import { fromBase64, toBase64 } from "./audit/encoding.ts";
import { VakError } from "./errors.ts";
import { MAX_CHANGES, type Point, parsePoint, parseReadings, type SeedFile } from "./protocol.ts";

/** Bytes of JSON that a trace, or what a run was given, may have; what is longer is not kept, and the log says so. */
export const TRACE_BYTES = 16 * 2 ** 20;

/** A change that the page made to the agent's files: since the run before, or during the run. */
export interface Change {
  path: string;
  /** What was written or made; null where it was removed. */
  data: SeedFile | null;
  /** Where the run was; null for a change before it. */
  at: Point | null;
}

/** What a call was answered. */
export interface RecordedCall {
  /** Units of work done when the call was made. */
  fuel: number;
  /** Bytes of the request. */
  requestBytes: number;
  /**
   * The JSON that the guest read; or the `seq` of the outcome beside which it is kept; or null when it read none, since
   * the run ended first.
   */
  answer: string | number | null;
}

/** Bytes of a stream that the page took, and their SHA-256, hex. */
export interface Stream {
  bytes: number;
  digest: string;
}

export interface Trace {
  /**
   * Of an agent that goes on with a recorded run (`kernel.fork`): that one's runs before it, which are to be done over
   * first. Of any other run, none.
   */
  before: RunPrefix[];
  changes: Change[];
  calls: RecordedCall[];
  /** Where the run was stopped, if it was asked to. */
  stop: Point | null;
  /** What the real clock said, as `RunEnd.readings`; empty where the run had the virtual one. */
  readings: number[];
  /** SHA-256 of the file tree at the end, hex. */
  files: string;
  stdout: Stream;
  stderr: Stream;
}

/** What a run was given, as it is kept beside its `run-start`. */
export interface RunInput {
  env: Record<string, string>;
  /** Of a call of a function its input, as JSON. */
  stdin: Uint8Array;
}

/** One of an agent's runs as far as it is to be done over. */
export interface RunPrefix {
  /** Its place among the agent's runs, from 1. */
  number: number;
  args: string[];
  env: Record<string, string>;
  stdin: Uint8Array;
  startTime: number;
  /** The changes of files before it. */
  changes: Change[];
  calls: AnsweredCall[];
}

/** A call of which it is kept what it was answered: the JSON that the guest read. */
export interface AnsweredCall extends RecordedCall {
  answer: string;
}

/** A call of a recorded run, and all that led there: where `kernel.fork` goes on. `forkPoint` of `vak/replay` makes it. */
export interface ForkPoint {
  /** The run's id in its log, and the number of the call that is to be made anew. */
  run: string;
  call: number;
  /** Of its agent. */
  name: string;
  program: string;
  machine: string;
  limits: Record<string, number>;
  seed: number;
  /** What the agent had read before that call, whatever was declassified since: who goes on has to say so anew. */
  labels: readonly string[];
  /** The agent's runs up to this one, the last. */
  runs: RunPrefix[];
}

/** Bytes of JSON that hold so many bytes of data, about. */
export const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4;

/** As JSON. Calls, of which there may be many, are arrays. */
export function traceToJson({ before, changes, calls, stop, readings, files, stdout, stderr }: Trace): unknown {
  return {
    ...(before.length > 0 && { before: before.map(prefixToJson) }),
    changes: changes.map(changeToJson),
    calls: calls.map(callToJson),
    stop: stop && { ...stop },
    ...(readings.length > 0 && { readings }),
    files,
    stdout: { ...stdout },
    stderr: { ...stderr },
  };
}

const changeToJson = ({ path, data, at }: Change): unknown => ({
  path,
  data: data && fileToJson(data),
  at: at && { ...at },
});

const callToJson = ({ fuel, requestBytes, answer }: RecordedCall): unknown => [fuel, requestBytes, answer];

/** The environment as pairs: its order is the guest's to see. */
export function prefixToJson({ number, args, env, stdin, startTime, changes, calls }: RunPrefix): unknown {
  const input = { args: [...args], env: Object.entries(env), stdin: toBase64(stdin) };
  return { number, ...input, startTime, changes: changes.map(changeToJson), calls: calls.map(callToJson) };
}

/** Bytes in base64; a directory or a symbolic link as it is. */
const fileToJson = (data: SeedFile): unknown => (data instanceof Uint8Array ? toBase64(data) : { ...data });

export function inputToJson({ env, stdin }: RunInput): unknown {
  return { env, stdin: toBase64(stdin) };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isDigest = (value: unknown): value is string => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const bad = (what: string) => new VakError("invalid-bundle", `It is not a trace: ${what}.`);

/**
 * Reads what {@link traceToJson} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function parseTrace(value: unknown): Trace {
  if (!isObject(value)) throw bad("it is not an object");
  const { before = [], files } = value;
  if (!isDigest(files)) throw bad("it has no digest of the files");
  if (!Array.isArray(before)) throw bad("the runs before it are malformed");
  const readings = value.readings === undefined ? [] : parseReadings(value.readings);
  if (!readings) throw bad("its readings of the clock are malformed");
  return {
    readings,
    before: before.map(parsePrefix),
    changes: parseChanges(value.changes),
    calls: parseCalls(value.calls),
    stop: point(value.stop),
    files,
    stdout: stream(value.stdout),
    stderr: stream(value.stderr),
  };
}

function parseChanges(changes: unknown): Change[] {
  if (!Array.isArray(changes) || changes.length > MAX_CHANGES) throw bad("its changes are not a list of them");
  return changes.map((change) => {
    const { path, data, at } = isObject(change) ? change : {};
    if (typeof path !== "string") throw bad("a change is malformed");
    return { path, data: data === null ? null : file(data), at: point(at) };
  });
}

function parseCalls(calls: unknown): RecordedCall[] {
  if (!Array.isArray(calls)) throw bad("it has no calls");
  return calls.map((call) => {
    const [fuel, requestBytes, answer] = Array.isArray(call) && call.length === 3 ? call : [];
    if (!isCount(fuel) || !isCount(requestBytes)) throw bad("a call is malformed");
    if (answer !== null && typeof answer !== "string" && !isCount(answer)) throw bad("an answer is malformed");
    return { fuel, requestBytes, answer };
  });
}

function parsePrefix(value: unknown): RunPrefix {
  const { number, args, env, stdin, startTime, changes, calls } = isObject(value) ? value : {};
  const isText = (text: unknown): text is string => typeof text === "string";
  const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && pair.every(isText);
  if (!isCount(number) || !isCount(startTime) || !isText(stdin)) throw bad("a run before it is malformed");
  if (!Array.isArray(args) || !args.every(isText) || !Array.isArray(env) || !env.every(isPair)) {
    throw bad("what a run before it was given is malformed");
  }
  const answered = parseCalls(calls).map(({ answer, ...call }): AnsweredCall => {
    if (typeof answer !== "string") throw bad("an answer to a run before it is missing");
    return { ...call, answer };
  });
  const made = parseChanges(changes);
  if (made.some(({ at }) => at !== null)) throw bad("a change before a run is within it");
  const input = { args, env: Object.fromEntries(env) as Record<string, string>, stdin: fromBase64(stdin) };
  return { number, ...input, startTime, changes: made, calls: answered };
}

function file(value: unknown): SeedFile {
  if (typeof value === "string") return fromBase64(value);
  const { type, target } = isObject(value) ? value : {};
  if (type === "directory") return { type };
  if (type === "symlink" && typeof target === "string") return { type, target };
  throw bad("a change is malformed");
}

function point(value: unknown): Point | null {
  if (value === null) return null;
  const found = parsePoint(value, { fuel: Number.MAX_SAFE_INTEGER });
  if (!found) throw bad("a point is malformed");
  return found;
}

function stream(value: unknown): Stream {
  const { bytes, digest } = isObject(value) ? value : {};
  if (!isCount(bytes) || !isDigest(digest)) throw bad("a stream is malformed");
  return { bytes, digest };
}

/**
 * Reads what {@link inputToJson} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function parseInput(value: unknown): RunInput {
  const { env, stdin } = isObject(value) ? value : {};
  if (!isObject(env) || typeof stdin !== "string" || !Object.values(env).every((text) => typeof text === "string")) {
    throw new VakError("invalid-bundle", "It is not what a run was given.");
  }
  return { env: env as Record<string, string>, stdin: fromBase64(stdin) };
}
