/**
 * `vak/replay`: executes a run again from an exported log, and says whether it is the same. Pure: Node, page or worker.
 *
 * It uses no tools and no network: the program gets the recorded answers. The sandbox's own code executes it, and
 * everything it does is compared with what the log says. This does not check who signed the log: use `verify` of
 * `vak/audit` for that.
 *
 * @example
 * import { openBundle, verify } from "vak/audit";
 * import { replay } from "vak/replay";
 *
 * const bundle = await openBundle(await file.arrayBuffer());
 * const report = await verify(bundle, { keys: [vkey] });
 * const { verdict, divergence } = await replay(bundle, 1, { program });
 */
import type { Bundle } from "../audit/bundle.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import { difference, type RunDifference, type Side } from "./diff.ts";
import { forkAt } from "./fork.ts";
import { type LoggedRun, Recording } from "./recording.ts";
import { Replayer } from "./replayer.ts";
import type { Replay } from "./result.ts";
import { type Purpose, Session } from "./session.ts";
import { checkUntil, type Until } from "./until.ts";

export type { ForkPoint } from "../protocol/trace.ts";
export { MACHINE } from "../sandbox/admission.ts";
export type { RunDifference, TextDifference } from "./diff.ts";
export type { Divergence } from "./divergence.ts";
export type { Replayer } from "./replayer.ts";
export type { Replay, ReplayView as Looking, State, Step } from "./result.ts";
export type { Place } from "./timeline.ts";
export type { Until } from "./until.ts";

export interface ReplayOptions {
  /**
   * The program's bytes, or those of several, if the bundle does not hold them. A single one that is not the agent's is
   * executed all the same, to see where it first differs.
   */
  program?: BufferSource | readonly BufferSource[];
  /**
   * Stops there, with {@link Replay.state} to look at: before call n is answered, counted from 1, or at the first of
   * the meter's checks at which that many units of work are done.
   */
  until?: Until;
  /** Lists the calls in {@link Replay.steps}, each with how far the run had come; and gives {@link Replay.state}. */
  steps?: boolean;
}

/**
 * Executes a run again, and before it the earlier runs of its agent, which its files come from.
 *
 * It takes about as long as the run did, less the waiting, and blocks the thread: on a page, call it in a worker.
 *
 * @param run its id, or its number among the runs of the log, from 1
 * @returns the result for the first run that is not the same, if that is an earlier one; otherwise for `run`
 * @throws VakError `not-found` when there is no such run, or its trace or program is not in the bundle; `unsupported`
 *   when it was recorded with another version of the meter or sandbox, or this engine cannot execute the program;
 *   `invalid-bundle`
 * @example
 * const { verdict, divergence } = await replay(bundle, 1, { program });
 * if (verdict === "diverged") console.error(divergence);
 */
export async function replay(
  bundle: Bundle | ReadonlyMap<string, Uint8Array>,
  run: string | number,
  options: ReplayOptions = {},
): Promise<Replay> {
  checkUntil(options.until);
  const recording = await Recording.open(asBundle(bundle));
  return replayChain(recording, recording.find(run), options);
}

/**
 * Opens a log to execute its runs again more than once: to go back and forth in them.
 *
 * @throws VakError `invalid-bundle`
 * @example
 * const replayer = await openReplay(bundle, { program });
 * await replayer.replay(1, { until: { call: 900 } });
 * await replayer.replay(1, { until: { call: 450 } }); // from a checkpoint
 */
export async function openReplay(
  bundle: Bundle | ReadonlyMap<string, Uint8Array>,
  { program }: Pick<ReplayOptions, "program"> = {},
): Promise<Replayer> {
  const recording = await Recording.open(asBundle(bundle));
  const given = await readPrograms(program);
  return new Replayer(recording, (run, savePoints) =>
    startSession(recording, run, given, { inspect: true, savePoints }),
  );
}

async function replayChain(recording: Recording, run: LoggedRun, options: ReplayOptions): Promise<Replay> {
  const chain = recording.upTo(run);
  const { program, until, steps } = options;
  const given = await readPrograms(program);
  const session = await startSession(recording, run, given, { inspect: until !== undefined || steps === true });
  let result: Replay | undefined;
  for (const one of chain) {
    result = await session.replay(one, one === run ? options : {});
    if (result.verdict !== "same") break;
  }
  return result!;
}

/** A recorded run: its bundle, its id or number, and its program if the bundle does not have it. */
export interface RecordedRun extends Pick<ReplayOptions, "program"> {
  bundle: Bundle | ReadonlyMap<string, Uint8Array>;
  run: string | number;
}

/**
 * Compares two recorded runs: what they were given, the first call that differs, how they ended, their files and
 * output. Both are executed again.
 *
 * @throws VakError as {@link replay}; `invalid-bundle` when a replay is not the same as its recording
 * @example
 * const { call, files } = await diff({ bundle, run: 1, program }, { bundle, run: 2, program });
 */
export async function diff(one: RecordedRun, other: RecordedRun): Promise<RunDifference> {
  return difference(await toEnd(one), await toEnd(other));
}

async function toEnd({ bundle, run: wanted, ...options }: RecordedRun): Promise<Side> {
  const recording = await Recording.open(asBundle(bundle));
  const run = recording.find(wanted);
  const { state, ...replay } = await replayChain(recording, run, { ...options, until: { call: MAX_CALLS } });
  if (replay.verdict === "same" && state) return { recording, run, replay: { ...replay, state } };
  const why = replay.divergence ? `it diverges: ${replay.divergence.what}` : (replay.missing ?? "it did not begin");
  throw new VakError("invalid-bundle", `Run ${run.id} cannot be compared because its replay is not the same: ${why}.`);
}

/**
 * What `kernel.fork` needs to continue a recorded run from one of its calls.
 *
 * @param at the call that is to be made again, from 1
 * @throws VakError `not-found` when there is no such run or call, or something that it needs is not in the bundle;
 *   `unsupported` where the page changed files during the run before that call, or where an earlier run of the agent
 *   was stopped; `invalid-bundle`
 * @example
 * const { agent, run } = await kernel.fork(await forkPoint(bundle, 1, { call: 7 }), { program });
 */
export async function forkPoint(
  bundle: Bundle | ReadonlyMap<string, Uint8Array>,
  run: string | number,
  at: { call: number },
): Promise<ForkPoint> {
  checkUntil(at);
  const recording = await Recording.open(asBundle(bundle));
  return forkAt(recording, recording.find(run), at.call);
}

/** More calls than a run can make. */
const MAX_CALLS = 2 ** 31;

/**
 * Executes every run again, in the order in which they started.
 *
 * @returns the result for each: if it could not be executed, `missing` says why
 */
export async function* replayAll(
  bundle: Bundle | ReadonlyMap<string, Uint8Array>,
  options: Pick<ReplayOptions, "program"> = {},
): AsyncGenerator<Replay> {
  const recording = await Recording.open(asBundle(bundle));
  const given = await readPrograms(options.program);
  const sessions = new Map<LoggedRun["spawn"], Promise<Session> | VakError>();
  const purpose: Purpose = { inspect: false, compiled: new Map() };
  for (const run of recording.runs) {
    if (!sessions.has(run.spawn)) sessions.set(run.spawn, startSession(recording, run, given, purpose));
    try {
      const session = sessions.get(run.spawn)!;
      if (session instanceof VakError) throw session;
      const replay = await (await session).replay(run);
      // Later runs would begin with other files.
      if (replay.verdict !== "same") {
        const after = new VakError("not-found", `Run ${run.id}, before it, could not be executed as recorded.`);
        sessions.set(run.spawn, after);
      }
      yield replay;
    } catch (error) {
      if (!(error instanceof VakError)) throw error;
      sessions.set(run.spawn, error);
      const nothing = { divergence: null, calls: 0, fuel: 0, notCompared: [] };
      yield { run: run.id, verdict: "incomplete", missing: error.message, ...nothing };
    }
  }
}

/** The programs that the caller gave, copied, by their SHA-256. */
type Programs = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

async function startSession(recording: Recording, run: LoggedRun, given: Programs, purpose: Purpose): Promise<Session> {
  const digest = run.spawn.agent.program;
  const only = given.size === 1 ? [...given.values()][0] : undefined;
  const found = given.get(digest) ?? (await recording.program(digest)) ?? only;
  if (found) return Session.start(recording, run, found, purpose);
  throw new VakError(
    "not-found",
    `The program of run ${run.id} is not in the bundle: give the file with the SHA-256 ${digest} as \`program\`, on the command line with --program <file>.`,
  );
}

/** Copies and hashes the caller's programs, once for all runs: a log may have many, and a program megabytes. */
async function readPrograms(program: ReplayOptions["program"] = []): Promise<Programs> {
  const copies = isList(program) ? program.map(bytesOf) : [bytesOf(program)];
  return new Map(await Promise.all(copies.map(async (bytes) => [await sha256HexOf(bytes), bytes] as const)));
}

const isList = (program: BufferSource | readonly BufferSource[]): program is readonly BufferSource[] =>
  Array.isArray(program);

function bytesOf(data: BufferSource): Uint8Array<ArrayBuffer> {
  const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
}

function asBundle(bundle: Bundle | ReadonlyMap<string, Uint8Array>): Bundle {
  if (!(bundle instanceof Map)) return bundle as Bundle;
  return { paths: async () => bundle.keys(), read: async (path) => bundle.get(path) };
}
