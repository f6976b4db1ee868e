/**
 * The JSON of a trace, of its parts and of a run's input, as recordings have it: written, read, and the parts joined.
 */
import { fromBase64, toBase64 } from "../base/base64.ts";
import { isCount, isDigest, isObject } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import { MAX_CHANGES, MAX_PATH, MAX_READINGS } from "./bounds.ts";
import type { Point, SeedFile } from "./messages.ts";
import { parsePoint, parseReadings } from "./parse.ts";
import type {
  AnsweredCall,
  Change,
  Met,
  Part,
  RecordedCall,
  RunInput,
  RunPrefix,
  StoredPart,
  StreamDigest,
  Trace,
} from "./trace.ts";

/** Length of `bytes` bytes in base64. */
export const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4;

/** Calls are arrays, since there may be many. */
const metToJson = ({ before, changes, calls, readings, answer }: Part) => ({
  ...(before.length > 0 && { before: before.map(prefixToJson) }),
  changes: changes.map(changeToJson),
  calls: calls.map(callToJson),
  ...(readings.length > 0 && { readings }),
  ...(answer !== undefined && { answer }),
});

export const partToJson = (part: StoredPart): unknown => ({ ...metToJson(part), fuel: part.fuel });

/** Writes a trace, or what remains of it after its parts. */
export function traceToJson({ stop, files, stdout, stderr, ...met }: Trace & Part): unknown {
  return { ...metToJson(met), stop: stop && { ...stop }, files, stdout: { ...stdout }, stderr: { ...stderr } };
}

const changeToJson = ({ path, data, at }: Change): unknown => ({
  path,
  data: data && fileToJson(data),
  at: at && { ...at },
});

const callToJson = ({ fuel, requestBytes, answer }: RecordedCall): unknown => [fuel, requestBytes, answer];

/** The environment as pairs, since the guest sees its order. */
export function prefixToJson({ number, args, env, stdin, startTime, changes, calls }: RunPrefix): unknown {
  const input = { args: [...args], env: Object.entries(env), stdin: toBase64(stdin) };
  return { number, ...input, startTime, changes: changes.map(changeToJson), calls: calls.map(callToJson) };
}

/** Bytes as base64; a directory or a symbolic link as it is. */
const fileToJson = (data: SeedFile): unknown => (data instanceof Uint8Array ? toBase64(data) : { ...data });

export function inputToJson({ env, stdin }: RunInput): unknown {
  return { env, stdin: toBase64(stdin) };
}

const bad = (what: string) => new VakError("invalid-bundle", `This is not a trace: ${what}.`);

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
  if (!isObject(value) || !isCount(value.fuel)) throw bad("a part has no fuel");
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
 * Joins the parts of a trace, given in their order.
 *
 * @throws VakError `invalid-bundle` if they are not the parts of one trace
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
    // One by one: there may be more than a function can take as arguments.
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
  if (!Array.isArray(changes) || changes.length > MAX_CHANGES) throw bad("its changes are malformed or too many");
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
  if (type === "symlink" && typeof target === "string" && target.length <= MAX_PATH) return { type, target };
  throw bad("a change is malformed");
}

function point(value: unknown): Point | null {
  if (value === null) return null;
  const found = parsePoint(value, { fuel: Number.MAX_SAFE_INTEGER });
  if (!found) throw bad("a point is malformed");
  return found;
}

function stream(value: unknown): StreamDigest {
  const { bytes, digest } = isObject(value) ? value : {};
  if (!isCount(bytes) || !isDigest(digest)) throw bad("a stream is malformed");
  return { bytes, digest };
}

/**
 * Reads what {@link inputToJson} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function parseRunInput(value: unknown): RunInput {
  const { env, stdin } = isObject(value) ? value : {};
  if (!isObject(env) || typeof stdin !== "string" || !Object.values(env).every((text) => typeof text === "string")) {
    throw new VakError("invalid-bundle", "This is not the input of a run.");
  }
  return { env: env as Record<string, string>, stdin: fromBase64(stdin) };
}
