/** Executes recorded runs again, and compares. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { RunEnd } from "../audit/vocabulary/run.ts";
import { joinBytes } from "../base/bytes.ts";
import { canonicalBytes } from "../base/canonical.ts";
import { sha256Hex } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import type { Ended, WorkerMessage } from "../protocol/messages.ts";
import { type Met, type RunPrefix, type Stream, shapesOf, type Trace } from "../protocol/trace.ts";
import { Volume } from "../sandbox/fs/volume.ts";
import { compile, type Instance, type Loaded, link, load, MACHINE, Runner } from "../sandbox/program.ts";
import { Errno } from "../sandbox/wasi/errno.ts";
import {
  type Capture,
  Capturer,
  type Contents,
  type Host,
  Kept,
  restoreContents,
  restoreHost,
  saveContents,
  saveHost,
} from "./checkpoint.ts";
import { countGlobals, exportGlobals, GLOBAL_PREFIX } from "./globals.ts";
import { applyChange, type Divergence, type Progress, Recorded, Silent, type Until } from "./recorded.ts";
import type { LoggedRun, Reach, Recording, ValueFault } from "./recording.ts";
import { type Capturable, makeCapturable } from "./stack.ts";

/** What became of executing a run again. */
export interface Replay {
  /** The run's id. */
  run: string;
  /**
   * `interrupted`: the recording ends before the run did, for the page or the worker was gone, and all that there is of it is
   * the same: so many calls, up to so much fuel. `incomplete`: as far as it could be followed it was the same. Of both
   * {@link Replay.missing} says what there was not.
   */
  verdict: "same" | "diverged" | "interrupted" | "incomplete";
  /** The first difference, when it diverged. */
  divergence: Divergence | null;
  missing: string | null;
  /** Calls that were compared. */
  calls: number;
  /** Units of work done. */
  fuel: number;
  /** What could not be compared, since it is not in the bundle. */
  notCompared: string[];
  /** How things stood where the replay was to stop (`until`), or at its end, if it did not come so far. */
  state?: State;
  /** Each call, with how far the run had come (`steps`). */
  steps?: Step[];
}

/** A call of a run, and how far it had come when it made it. */
export interface Step {
  /** Its number, from 1. */
  call: number;
  fuel: number;
  /** As the program wrote it, and as it read it; null where it read nothing, or that is not in the bundle. */
  request: string;
  answer: string | null;
  memoryBytes: number;
  /** Bytes printed so far. */
  stdout: number;
  stderr: number;
}

/** What somebody wants to see of a run. */
export interface Looking {
  until?: Until | undefined;
  steps?: boolean | undefined;
}

/** The inside of a run, at some place in its work. */
export interface State {
  /** Whether this is the place that was asked for; else it is where the run ended. */
  reached: boolean;
  /** Calls made so far, the one that waits for its answer included. */
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

/** What a session is started for. */
export interface Purpose {
  /** To look inside. */
  inspect: boolean;
  /** To go back: checkpoints can be made of it. */
  checkpoints?: boolean;
}

/** Where a session can go on from: between two runs, or within one. */
export interface Checkpoint {
  /** The number of the run before which it is, or within which. */
  run: number;
  host: Host;
  /** The instance, where a reactor has one between two calls; its exports are made anew. */
  kept: { instance: HostSide; contents: Contents } | undefined;
  inside: Inside | undefined;
}

/** What the host has of an instance, without which it goes. */
type HostSide = Omit<Instance, "exports">;

/** What there is of a run within it. */
export interface Inside {
  instance: HostSide;
  capture: Capture;
  progress: Progress;
  output: Outputs;
}

/** Checkpoints within a run: how many there are to be, the work done at the last that there is, and who takes them. */
export interface Keeping {
  count: number;
  after: number;
  onCheckpoint(checkpoint: Checkpoint): void;
}

/** An agent that lives again: its program, and its files as its runs leave them. */
export class Session {
  private readonly recording: Recording;
  private readonly limits: Limits;
  private readonly volume: Volume;
  private readonly runner: Runner;
  private readonly program: Loaded;
  /** The digest of the program that is executed. */
  private readonly digest: string;
  /** Undefined where its stack and its globals cannot be copied. */
  private readonly capturable: Capturable | undefined;
  private readonly kept = new Kept();

  private constructor(
    recording: Recording,
    limits: Limits,
    volume: Volume,
    program: Loaded,
    digest: string,
    capturable: Capturable | undefined,
  ) {
    this.recording = recording;
    this.limits = limits;
    this.program = program;
    this.digest = digest;
    this.capturable = capturable;
    this.volume = volume;
    this.runner = new Runner(this.volume);
  }

  /** Whether it executes another form of the program than the sandbox does. */
  get rewritten(): boolean {
    return this.capturable !== undefined;
  }

  /** A copy of how things stand before its run of that number; undefined where an instance cannot be copied. */
  save(run: number): Checkpoint | undefined {
    const instance = this.runner.kept;
    const contents = instance && this.capturable && saveContents(instance.exports, this.capturable, undefined);
    if (instance && !contents) return undefined;
    const host = saveHost(this.volume, instance?.process, this.kept);
    const kept = instance && contents && { instance: hostSide(instance), contents };
    return { run, host, kept, inside: undefined };
  }

  /** Goes back, or on, to a checkpoint of its own between two runs. */
  async restore({ host, kept }: Checkpoint): Promise<void> {
    this.runner.kept = kept && (await this.reviveInstance(kept.instance));
    if (kept) restoreContents(this.runner.kept!.exports, kept.contents);
    restoreHost(host, this.volume, kept?.instance.process, this.kept);
    // The clock of the run before stood still then.
    this.volume.now = () => host.volume.time;
  }

  /** A fresh instance for what the host has of an old one. */
  private async reviveInstance({ memory, process }: HostSide): Promise<Instance> {
    const exports = await link(this.program, this.program.gate, process, "atomics");
    memory.attach(exports.memory);
    return { exports, memory, process };
  }

  /**
   * @param program the agent's program, or another one
   * @throws VakError `unsupported` for a recording of another machine, or a program that this engine does not take;
   *   `invalid-bundle`
   */
  static async start(
    recording: Recording,
    { spawn }: LoggedRun,
    program: Uint8Array,
    { inspect, checkpoints = false }: Purpose,
  ): Promise<Session> {
    if (spawn.machine !== MACHINE) {
      throw new VakError(
        "unsupported",
        `The run was recorded on the machine ${JSON.stringify(spawn.machine)} (cost table, version of the meter, version of ` +
          `the sandbox); this version of vak executes ${JSON.stringify(MACHINE)}. Replay it with a version that has that.`,
      );
    }
    let limits: Limits;
    try {
      limits = resolveLimits(spawn.limits);
    } catch (cause) {
      throw new VakError("invalid-bundle", `The agent's limits are none: ${(cause as Error).message}`, { cause });
    }
    const volume = mounted(limits, spawn);
    try {
      let capturable: Capturable | undefined;
      const admitted = await compile(program, limits, (metered) => {
        const inspected = inspect ? exportGlobals(metered, countGlobals(program)) : metered;
        if (checkpoints) capturable = makeCapturable(inspected);
        return capturable?.bytes ?? inspected;
      });
      return new Session(recording, limits, volume, load(admitted), await digestOf(program), capturable);
    } catch (cause) {
      const why = (cause as Error).message;
      throw new VakError("unsupported", `The program cannot be executed here: ${why}`, { cause });
    }
  }

  /**
   * Executes the agent's next run. The runs before it must have been executed.
   *
   * @param until where to stop and look; the agent cannot go on from there
   * @param steps whether to list the calls
   * @param keeping whether to make checkpoints within it
   * @param from a checkpoint within it from which to go on
   * @throws VakError `not-found` when its trace is not in the bundle, `invalid-bundle`
   */
  async replay(run: LoggedRun, { until, steps }: Looking = {}, keeping?: Keeping, from?: Checkpoint): Promise<Replay> {
    const replay: Replay = {
      run: run.id,
      verdict: "same",
      divergence: null,
      missing: null,
      calls: 0,
      fuel: 0,
      notCompared: [],
    };
    // Only its number was used: it was stopped before the worker heard of it, or there was no room for its memory.
    const { status, digest, usage } = run.end ?? {};
    const begun = run.parts.length > 0;
    if (digest === null && !begun && (status === "stopped" ? usage?.fuel === undefined : usage?.fuel === 0)) {
      return { ...replay, notCompared: [`it ${status === "stopped" ? "was stopped" : "failed"} before it began`] };
    }
    const { input, trace, end, reach } = await this.recording.traceOf(run);
    const { known, faults } = await this.recording.callsOf(run, trace);
    for (const [i, { entry, input }] of known.entries()) {
      if (entry && "inputDigest" in entry && entry.inputDigest && !input)
        replay.notCompared.push(`the input of call ${i + 1}, which is not in the bundle`);
    }
    const { continues } = run.start;
    if (continues && continues.call > 1) {
      replay.notCompared.push(`what calls 1 to ${continues.call - 1} ask, which were made in run ${continues.run}`);
    }
    const fault = faults[0] && valueFault(run, trace, faults[0]);
    const looking = until !== undefined || steps === true;
    const keep = looking || keeping !== undefined;
    const inside = from?.inside;
    const output: Outputs = inside
      ? { 1: inside.output[1].copy(), 2: inside.output[2].copy() }
      : { 1: new Taken(end && trace.stdout.bytes, keep), 2: new Taken(end && trace.stderr.bytes, keep) };
    if (inside) this.runner.kept = await this.reviveInstance(inside.instance);
    else {
      for (const one of trace.before) await this.doOver(run, one);
      for (const change of trace.changes) if (change.at === null) applyChange(this.volume, change);
    }
    const recorded: Recorded = new Recorded(run.id, trace, known, this.volume, until, {
      ...this.capturing(run, keeping, end?.usage.fuel ?? reach?.fuel ?? 0, output, () => recorded, inside),
      ...(from &&
        inside && {
          granted: inside.capture.granted,
          onEnter: () => {
            restoreHost(from.host, this.volume, inside.instance.process, this.kept);
            recorded.restore(inside.progress);
          },
        }),
    });
    if (steps) replay.steps = listSteps(recorded, output);
    const { reactor } = this.program;
    const request = {
      run: run.number,
      args: [run.spawn.agent.name, ...run.start.args],
      env: input.env,
      stdin: reactor ? new Uint8Array() : input.stdin,
      seed: run.spawn.seed,
      startTime: run.start.startTime,
      ...(run.start.clock && { clock: run.start.clock }),
      ...(reactor && { call: { name: run.start.args[0] ?? "", input: input.stdin } }),
    };
    const limits = { ...this.limits, fuel: end ? fuelFor(end, this.limits) : Math.min(reach.fuel, this.limits.fuel) };
    const post = (message: WorkerMessage) => {
      if (message.vak === "output") output[message.fd].push(message.bytes);
    };
    const ended = await this.runner.execute(this.program, request, limits, recorded, post);
    replay.calls = recorded.calls;
    replay.fuel = ended.fuel;
    replay.missing = recorded.cut ?? null;
    if (looking) replay.state = this.look(recorded, ended.fuel, output);
    if (!recorded.divergence && !recorded.cut && !recorded.reached) {
      if (end) compareEnds(recorded, { run, trace, end }, ended, output);
      else {
        compareReach(recorded, trace, reach.fuel, ended);
        replay.missing = describeReach(run, trace, reach);
      }
    }
    const found = recorded.divergence;
    // What is wrong with a value shows before anything is executed, but belongs to its call.
    const later = fault && found && (found.call === null || found.call > faults[0]!.call);
    replay.divergence = (later ? fault : (found ?? fault)) ?? this.programFault(run);
    if (replay.divergence) replay.verdict = "diverged";
    else if (replay.missing !== null) replay.verdict = recorded.cut === undefined ? "interrupted" : "incomplete";
    return replay;
  }

  /** Executes a run of the recording that `run` goes on with, for its files. */
  private async doOver({ id, spawn }: LoggedRun, before: RunPrefix): Promise<void> {
    const { number, args, env, stdin, startTime, changes, calls } = before;
    for (const change of changes) applyChange(this.volume, change);
    const silent = new Silent(calls.map(({ answer }) => answer));
    const request = { run: number, args: [spawn.agent.name, ...args], env, stdin, seed: spawn.seed, startTime };
    await this.runner.execute(this.program, request, this.limits, silent, () => {});
    if (silent.short)
      throw new VakError("invalid-bundle", `A run before run ${id} calls more often than it was answered.`);
  }

  /** Who captures the run on its way, if it can be. */
  private capturing(
    run: LoggedRun,
    keeping: Keeping | undefined,
    fuel: number,
    output: Outputs,
    recorded: () => Recorded,
    inside: Inside | undefined,
  ): { capturer?: Capturer } {
    const { capturable, limits, volume, runner } = this;
    if (!capturable || !(keeping || inside) || this.program.reactor) return {};
    const onCapture = (capture: Capture) => {
      const instance = hostSide(runner.current!);
      keeping?.onCheckpoint({
        run: run.number,
        host: saveHost(volume, instance.process, this.kept),
        kept: undefined,
        inside: {
          instance,
          capture,
          progress: recorded().save(),
          output: { 1: output[1].copy(), 2: output[2].copy() },
        },
      });
    };
    const { count = 0, after = 0 } = keeping ?? {};
    const every = keeping ? Math.max(1, Math.floor(fuel / (count + 1))) : Number.MAX_SAFE_INTEGER;
    return { capturer: new Capturer(capturable, { every, after }, limits.stackDepth, onCapture, inside?.capture) };
  }

  private look({ reached, calls, request, exports }: Recorded, fuel: number, output: Outputs): State {
    const globals: State["globals"] = {};
    for (const [name, value] of Object.entries(exports ?? {})) {
      if (!name.startsWith(GLOBAL_PREFIX) || !(value instanceof WebAssembly.Global)) continue;
      try {
        const held: unknown = value.value;
        if (typeof held === "number" || typeof held === "bigint")
          globals[Number(name.slice(GLOBAL_PREFIX.length))] = held;
      } catch {} // A vector has no value in JavaScript.
    }
    const memory =
      exports?.memory instanceof WebAssembly.Memory ? new Uint8Array(exports.memory.buffer).slice() : new Uint8Array();
    const list = this.volume.list();
    return {
      reached,
      calls,
      fuel,
      request: request ? new TextDecoder().decode(request) : null,
      memory,
      globals,
      files: new Map(list.flatMap(({ path, type }) => (type === "file" ? [[path, this.volume.readFile(path)!]] : []))),
      directories: list.flatMap(({ path, type }) => (type === "directory" ? [path] : [])),
      stdout: output[1].all(),
      stderr: output[2].all(),
    };
  }

  private programFault({ id, spawn }: LoggedRun): Divergence | null {
    const recorded = spawn.agent.program;
    if (recorded === this.digest) return null;
    return { run: id, call: null, fuel: 0, what: "program", recorded, replayed: this.digest };
  }
}

/** The agent's files before there is anything in them. */
function mounted(limits: Limits, { mounts }: LoggedRun["spawn"]): Volume {
  try {
    return new Volume(limits, shapesOf(mounts));
  } catch (cause) {
    if (!(cause instanceof Errno)) throw cause;
    throw new VakError("invalid-bundle", "The agent's mounts are none that there can be.", { cause });
  }
}
const hostSide = ({ memory, process }: Instance): HostSide => ({ memory, process });

/** A value in the bundle that is not the one which the log commits to. */
function valueFault({ id }: LoggedRun, { calls }: Met, { call, message }: ValueFault): Divergence {
  const at = { run: id, call, fuel: calls[call - 1]!.fuel, what: "value in the bundle" };
  return { ...at, recorded: "what the log commits to", replayed: message };
}

/** The SHA-256 of a program, hex. */
export async function digestOf(program: Uint8Array): Promise<string> {
  // On a page that is no secure context there is no `crypto.subtle`.
  const { subtle } = crypto;
  return bytesToHex(subtle ? new Uint8Array(await subtle.digest("SHA-256", program as BufferSource)) : sha256(program));
}

/**
 * What an execution may use at most, so that one which is not the recorded one ends too: what the recorded one used. A
 * trap's count may lie behind what was used.
 */
function fuelFor(end: RunEnd, limits: Limits): number {
  const used = end.usage.fuel;
  return end.status === "trapped" || !used ? limits.fuel : Math.min(limits.fuel, used);
}

/** Output, as far as the page took it: once it had asked a run to stop, it took no more. */
class Taken {
  bytes = 0;
  private hash = sha256.create();
  private left: number;
  /** Kept where somebody wants to look. */
  private chunks: Uint8Array[] | undefined;

  /** @param bytes that it took; undefined where nobody knows */
  constructor(bytes: number | undefined, keep: boolean) {
    this.left = bytes ?? 0;
    this.chunks = keep ? [] : undefined;
  }

  copy(): Taken {
    const copy = new Taken(this.left, false);
    copy.bytes = this.bytes;
    copy.hash = this.hash.clone();
    copy.chunks = this.chunks?.slice();
    return copy;
  }

  all(): Uint8Array<ArrayBuffer> {
    return joinBytes(this.chunks ?? []);
  }

  push(bytes: Uint8Array): void {
    this.bytes += bytes.byteLength;
    this.chunks?.push(bytes);
    const part = bytes.subarray(0, this.left);
    this.left -= part.byteLength;
    this.hash.update(part);
  }

  digest(): string {
    return bytesToHex(this.hash.digest());
  }
}

function listSteps(recorded: Recorded, output: Outputs): Step[] {
  const steps: Step[] = [];
  const decoder = new TextDecoder();
  recorded.onCall = (request, answer) => {
    const { calls, fuel, exports } = recorded;
    steps.push({
      call: calls,
      fuel,
      request: decoder.decode(request),
      answer: answer ? decoder.decode(answer) : null,
      memoryBytes: exports?.memory instanceof WebAssembly.Memory ? exports.memory.buffer.byteLength : 0,
      stdout: output[1].bytes,
      stderr: output[2].bytes,
    });
  };
  return steps;
}

type Outputs = { 1: Taken; 2: Taken };

function compareEnds(
  recorded: Recorded,
  { run, trace, end }: { run: LoggedRun; trace: Trace; end: RunEnd },
  ended: Ended,
  output: Outputs,
): void {
  const same = (what: string, then: unknown, now: unknown) => {
    if (then !== now) recorded.differ(what, String(then), String(now));
  };
  const made = Math.max(trace.calls.length, run.calls.size);
  // A call past the limit is made, and not recorded.
  if (recorded.calls < made) recorded.differ("calls", `${made}`, `${recorded.calls}`, { call: recorded.calls + 1 });
  const asked = end.status === "stopped" && end.limit !== "fuel" && end.limit !== "output";
  same("outcome", outcomeOf(end, asked), spell(ended.outcome));
  for (const what of ["fuel", "memoryBytes", "fileBytes"] as const) same(what, end.usage[what], ended[what]);
  const stdout = compareStream(recorded, "stdout", trace.stdout, output[1], asked);
  const stderr = compareStream(recorded, "stderr", trace.stderr, output[2], asked);
  same("files", trace.files, ended.files);
  same("readings of the clock", trace.readings.length, recorded.readings);
  // The outcome is the same by now, and the log knows which limit it was.
  const { status, exitCode, trap, limit } = end;
  const set = {
    ...(exitCode !== null && { exitCode }),
    ...(trap !== null && { trap }),
    ...(limit !== null && { limit }),
  };
  const { outcome } = ended;
  const value = outcome.status === "exited" && outcome.value && { value: sha256Hex(outcome.value) };
  const digest = { files: ended.files, outcome: { status, ...set, ...value }, stderr, stdout };
  same("digest", end.digest, sha256Hex(canonicalBytes(digest)));
}

/** Of a run that was cut off: all that was recorded has come, and nothing ended before. */
function compareReach(recorded: Recorded, { calls, readings }: Met, fuel: number, ended: Ended): void {
  const came = (what: string, then: number, now: number, more?: { call: number }) => {
    if (now < then) recorded.differ(what, `${then}`, `${now}`, more);
  };
  came("calls", calls.length, recorded.calls, { call: recorded.calls + 1 });
  came("changes of files", recorded.happenings.length, recorded.happened);
  came("readings of the clock", readings.length, recorded.readings);
  came("fuel", fuel, ended.fuel);
}

function describeReach(run: LoggedRun, { calls }: Met, { why, fuel }: Reach): string {
  const more = [...run.calls.keys()].filter((call) => call > calls.length).length;
  const after = more === 0 ? "" : `; the log has ${more} later ${more === 1 ? "call" : "calls"} of it, not compared`;
  return `${why}: what is stored of its trace goes to call ${calls.length} and ${fuel} units of fuel${after}`;
}

function compareStream(recorded: Recorded, what: string, then: Stream, now: Taken, asked: boolean): string {
  const digest = now.digest();
  const length = asked ? Math.min(then.bytes, now.bytes) : now.bytes;
  if (then.bytes !== length) recorded.differ(`bytes of ${what}`, `${then.bytes}`, `${now.bytes}`);
  if (then.digest !== digest) recorded.differ(what, `SHA-256 ${then.digest}`, `SHA-256 ${digest}`);
  return digest;
}

const outcomeOf = ({ status, exitCode, trap, limit }: RunEnd, asked: boolean): string =>
  asked ? "stopped asked" : `${status} ${exitCode ?? trap ?? limit}`;

const spell = (outcome: Ended["outcome"]): string =>
  outcome.status === "exited"
    ? `exited ${outcome.exitCode}`
    : `${outcome.status} ${outcome.status === "trapped" ? outcome.trap : outcome.limit}`;
