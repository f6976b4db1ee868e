/**
 * A trace: what a run took in from outside while it ran, and where, so that it can be executed again. It is kept as private
 * values (see `audit/value.ts`), canonical JSON of at most {@link TRACE_BYTES} in all: of a run that takes longer, in parts
 * beside `trace` entries while it runs, in the order in which the guest met what is in them; the rest, and what only the
 * end knows, beside its `run-end`. What else a replay needs is in the log: limits, seed and machine in `agent-spawn`;
 * arguments, the time, and beside it the environment and stdin in `run-start`.
 */

import type { MountRef } from "../audit/vocabulary/mount.ts";
import { fromBase64, toBase64 } from "../base/base64.ts";
import { isCount, isDigest, isObject } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import {
  MAX_CHANGES,
  MAX_READINGS,
  type MountShape,
  type Point,
  parsePoint,
  parseReadings,
  type SeedFile,
} from "./protocol.ts";

/**
 * Bytes of JSON that a trace, its parts together, or what a run was given, may have; what is longer is not kept, and the log
 * says so.
 */
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

/** What a run met, from its beginning to some place in it. */
export interface Met {
  /**
   * Of an agent that goes on with a recorded run (`kernel.fork`): that one's runs before it, which are to be done over
   * first. Of any other run, none.
   */
  before: RunPrefix[];
  changes: Change[];
  calls: RecordedCall[];
  /** What the real clock said, as `WorkerMessage` has it; empty where the run had the virtual one. */
  readings: number[];
}

/** What a run met since the part before. */
export interface Part extends Met {
  /** What the last call of the parts before was answered, where that was not known yet. */
  answer?: string | number;
}

/** A part that was stored while the run went on. */
export interface StoredPart extends Part {
  /** Units of work done by then: the run has met nothing else up to there. */
  fuel: number;
}

export interface Trace extends Met {
  /** Where the run was stopped, if it was asked to. */
  stop: Point | null;
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
  /** Absent where it had none. What was in them is among the changes; they are kept nowhere any more. */
  mounts?: MountRef[];
  /** What the agent had read before that call, whatever was declassified since: who goes on has to say so anew. */
  labels: readonly string[];
  /** The agent's runs up to this one, the last. */
  runs: RunPrefix[];
}

/** What a program can tell of its agent's mounts. */
export const shapesOf = (mounts: readonly MountRef[] = []): MountShape[] =>
  mounts.map(({ path, from, readOnly, quotaBytes }) => ({
    ...{ path: path.slice(1), readOnly, quotaBytes },
    // A directory of the page's may be one in which there can be none.
    links: from !== "directory",
  }));

/** Bytes of JSON that hold so many bytes of data, about. */
export const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4;

/** As JSON. Calls, of which there may be many, are arrays. */
const metToJson = ({ before, changes, calls, readings, answer }: Part) => ({
  ...(before.length > 0 && { before: before.map(prefixToJson) }),
  changes: changes.map(changeToJson),
  calls: calls.map(callToJson),
  ...(readings.length > 0 && { readings }),
  ...(answer !== undefined && { answer }),
});

export const partToJson = (part: StoredPart): unknown => ({ ...metToJson(part), fuel: part.fuel });

/** A trace, or what remains of it after its parts. */
export function traceToJson({ stop, files, stdout, stderr, ...met }: Trace & Part): unknown {
  return { ...metToJson(met), stop: stop && { ...stop }, files, stdout: { ...stdout }, stderr: { ...stderr } };
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

const bad = (what: string) => new VakError("invalid-bundle", `It is not a trace: ${what}.`);

/**
 * Reads what {@link traceToJson} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function parseTrace(value: unknown): Trace & Part {
  if (!isObject(value)) throw bad("it is not an object");
  const { files } = value;
  if (!isDigest(files)) throw bad("it has no digest of the files");
  const end = { stop: point(value.stop), files, stdout: stream(value.stdout), stderr: stream(value.stderr) };
  return { ...parseMet(value), ...end };
}

/**
 * Reads what {@link partToJson} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function parsePart(value: unknown): StoredPart {
  if (!isObject(value) || !isCount(value.fuel)) throw bad("a part does not say how far it goes");
  return { ...parseMet(value), fuel: value.fuel };
}

function parseMet({ before = [], changes, calls, readings = [], answer }: Record<string, unknown>): Part {
  if (!Array.isArray(before)) throw bad("the runs before it are malformed");
  const read = parseReadings(readings);
  if (!read) throw bad("its readings of the clock are malformed");
  if (answer !== undefined && typeof answer !== "string" && !isCount(answer)) throw bad("an answer is malformed");
  return {
    before: before.map(parsePrefix),
    changes: parseChanges(changes),
    calls: parseCalls(calls),
    readings: read,
    ...(answer !== undefined && { answer }),
  };
}

/**
 * Puts the parts of a trace together, the first first.
 *
 * @throws VakError `invalid-bundle` when they are not parts of one
 */
export function joinParts(parts: readonly Part[]): Met {
  const whole: Met = { before: [], changes: [], calls: [], readings: [] };
  for (const [i, { before, changes, calls, readings, answer }] of parts.entries()) {
    if (i > 0 && (before.length > 0 || changes.some(({ at }) => at === null))) {
      throw bad("what was there before the run is not in its first part");
    }
    const last = whole.calls.at(-1);
    if (answer !== undefined) {
      if (last?.answer !== null) throw bad("a part has an answer for which no call waits");
      last.answer = answer;
    }
    if (last?.answer === null && calls.length > 0) throw bad("a call was made while the one before it waited");
    // One by one: there may be more of them than a function takes arguments.
    for (const one of before) whole.before.push(one);
    for (const one of changes) whole.changes.push(one);
    for (const one of calls) whole.calls.push({ ...one });
    for (const one of readings) whole.readings.push(one);
    if (whole.changes.length > MAX_CHANGES) throw bad("its changes are too many");
    if (whole.readings.length > MAX_READINGS) throw bad("its readings of the clock are too many");
  }
  return whole;
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
