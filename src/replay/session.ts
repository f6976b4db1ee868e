/** An agent's recorded runs, executed again one after the other: its program, and its files as its runs leave them. */
import { errorText } from "../base/error-text.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import { compiledKey } from "../protocol/compiled.ts";
import type { Admitted, WorkerMessage } from "../protocol/messages.ts";
import { type Met, type RunPrefix, shapesOf } from "../protocol/trace.ts";
import { compile, MACHINE } from "../sandbox/admission.ts";
import { Volume } from "../sandbox/fs/volume.ts";
import { type Instance, type Loaded, link, load } from "../sandbox/instance.ts";
import { Errno } from "../sandbox/preview1/errno.ts";
import { Runner } from "../sandbox/runner.ts";
import { type Capture, Capturer } from "./capturer.ts";
import { applyChange } from "./changes.ts";
import { ComparingOutside } from "./comparing.ts";
import { restoreContents, saveContents } from "./contents.ts";
import type { Divergence } from "./divergence.ts";
import { compareEnds, compareReach, describeReach, endedFirst, fuelFor } from "./ending.ts";
import { countGlobals, exportGlobals } from "./globals.ts";
import { restoreHost, saveHost } from "./host-state.ts";
import { Kept } from "./kept.ts";
import { listSteps, stateOf } from "./looking.ts";
import { copyOutputs, type Outputs, ReplayedOutput } from "./output.ts";
import type { LoggedRun, Recording, ValueFault } from "./recording.ts";
import type { Replay, ReplayView } from "./result.ts";
import { type HostSide, hostSide, type Inside, type SavePoint, type SavePointPlan } from "./save-point.ts";
import { SilentOutside } from "./silent.ts";
import { type Capturable, makeCapturable } from "./stack/capturable.ts";

/** What a session is started for: to look inside, or only to compare. */
export type Purpose =
  | {
      inspect: true;
      /** To go back: save points can be made. */
      savePoints?: boolean;
      compiled?: never;
    }
  | {
      inspect: false;
      savePoints?: never;
      /**
       * Programs that other sessions have compiled only to compare, by their keys.
       * Agents of a log often run the same program, and to meter and compile it can take longer than its runs.
       */
      compiled?: Map<string, Admitted>;
    };

export class Session {
  readonly #recording: Recording;
  readonly #limits: Limits;
  readonly #volume: Volume;
  readonly #runner: Runner;
  readonly #program: Loaded;
  /** The digest of the program that is executed. */
  readonly #digest: string;
  /** Undefined where its stack and its globals cannot be copied. */
  readonly #capturable: Capturable | undefined;
  readonly #kept = new Kept();

  private constructor(
    recording: Recording,
    limits: Limits,
    volume: Volume,
    program: Loaded,
    digest: string,
    capturable: Capturable | undefined,
  ) {
    this.#recording = recording;
    this.#limits = limits;
    this.#program = program;
    this.#digest = digest;
    this.#capturable = capturable;
    this.#volume = volume;
    this.#runner = new Runner(this.#volume);
  }

  /** Whether it executes a rewritten form of the program. */
  get rewritten(): boolean {
    return this.#capturable !== undefined;
  }

  /** A save point before its run of that number; undefined if there is an instance that cannot be copied. */
  save(run: number): SavePoint | undefined {
    const instance = this.#runner.kept;
    const contents = instance && this.#capturable && saveContents(instance.exports, this.#capturable, undefined);
    if (instance && !contents) return undefined;
    const host = saveHost(this.#volume, instance?.process, this.#kept);
    const kept = instance && contents && { instance: hostSide(instance), contents };
    return { run, host, kept, inside: undefined };
  }

  /** Goes back, or forward, to one of its own save points between two runs. */
  async restore({ host, kept }: SavePoint): Promise<void> {
    this.#runner.kept = kept && (await this.#reviveInstance(kept.instance));
    if (kept) restoreContents(this.#runner.kept!.exports, kept.contents);
    restoreHost(host, this.#volume, kept?.instance.process, this.#kept);
    // The clock of the run before had stopped by then.
    this.#volume.now = () => host.volume.time;
  }

  /** A fresh instance for what the host keeps of an old one. */
  async #reviveInstance({ memory, process }: HostSide): Promise<Instance> {
    const exports = await link(this.#program, this.#program.gate, process, "atomics");
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
    { inspect, savePoints = false, compiled }: Purpose,
  ): Promise<Session> {
    if (spawn.machine !== MACHINE) {
      throw new VakError(
        "unsupported",
        `The run was recorded on the machine ${JSON.stringify(spawn.machine)} (cost table, meter version, sandbox version); ` +
          `this version of vak executes ${JSON.stringify(MACHINE)}. Replay it with the version of vak that recorded it.`,
      );
    }
    let limits: Limits;
    try {
      limits = resolveLimits(spawn.limits);
    } catch (cause) {
      throw new VakError("invalid-bundle", `The agent's limits are not valid: ${errorText(cause)}`, { cause });
    }
    const volume = mounted(limits, spawn);
    try {
      let capturable: Capturable | undefined;
      const digest = await sha256HexOf(program);
      const key = compiledKey(digest, limits);
      const make = () =>
        compile(program, limits, (metered) => {
          const inspected = inspect ? exportGlobals(metered, countGlobals(program)) : metered;
          if (savePoints) capturable = makeCapturable(inspected);
          return capturable?.bytes ?? inspected;
        });
      const admitted = compiled?.get(key) ?? (await make());
      compiled?.set(key, admitted);
      return new Session(recording, limits, volume, load(admitted), digest, capturable);
    } catch (cause) {
      const why = errorText(cause);
      throw new VakError("unsupported", `The program cannot be executed here: ${why}`, { cause });
    }
  }

  /**
   * Executes the agent's next run. The runs before it must have been executed.
   *
   * @param until where to stop and look; the session cannot resume from there
   * @param steps whether to list the calls
   * @param plan whether to make save points within it
   * @param from a save point within it from which to resume
   * @throws VakError `not-found` when its trace is not in the bundle, `invalid-bundle`
   */
  async replay(
    run: LoggedRun,
    { until, steps }: ReplayView = {},
    plan?: SavePointPlan,
    from?: SavePoint,
  ): Promise<Replay> {
    const replay: Replay = {
      run: run.id,
      verdict: "same",
      divergence: null,
      missing: null,
      calls: 0,
      fuel: 0,
      notCompared: [],
    };
    // Only its number was used: it was stopped before it reached the worker, or there was no room for its memory.
    const { status, digest, usage } = run.end ?? {};
    const begun = run.parts.length > 0;
    if (digest === null && !begun && (status === "stopped" ? usage?.fuel === undefined : usage?.fuel === 0)) {
      return { ...replay, notCompared: [`it ${status === "stopped" ? "was stopped" : "failed"} before it began`] };
    }
    const { input, trace, end, reach } = await this.#recording.traceOf(run);
    const { known, faults } = await this.#recording.callsOf(run, trace);
    for (const [i, { entry, input }] of known.entries()) {
      if (entry && "inputDigest" in entry && entry.inputDigest && !input)
        replay.notCompared.push(`the input of call ${i + 1}, which is not in the bundle`);
    }
    const { continues } = run.start;
    if (continues && continues.call > 1) {
      replay.notCompared.push(`what calls 1 to ${continues.call - 1} ask, which were made in run ${continues.run}`);
    }
    if (end && endedFirst(end, trace))
      replay.notCompared.push("how its program ended, before it saw that it was stopped");
    const fault = faults[0] && valueFault(run, trace, faults[0]);
    const looking = until !== undefined || steps === true;
    const keep = looking || plan !== undefined;
    const inside = from?.inside;
    const output: Outputs = inside
      ? copyOutputs(inside.output)
      : {
          1: new ReplayedOutput(end && trace.stdout.bytes, keep),
          2: new ReplayedOutput(end && trace.stderr.bytes, keep),
        };
    if (inside) this.#runner.kept = await this.#reviveInstance(inside.instance);
    else {
      for (const one of trace.before) await this.#reexecute(run, one);
      for (const change of trace.changes) if (change.at === null) applyChange(this.#volume, change);
    }
    const outside: ComparingOutside = new ComparingOutside(run.id, trace, known, this.#volume, until, {
      ...this.#capturing(run, plan, end?.usage.fuel ?? reach?.fuel ?? 0, output, () => outside, inside),
      ...(from &&
        inside && {
          granted: inside.capture.granted,
          onEnter: () => {
            restoreHost(from.host, this.#volume, inside.instance.process, this.#kept);
            outside.restore(inside.progress);
          },
        }),
    });
    if (steps) replay.steps = listSteps(outside, output);
    const { reactor } = this.#program;
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
    const limits = {
      ...this.#limits,
      fuel: end ? fuelFor(end, trace, this.#limits) : Math.min(reach.fuel, this.#limits.fuel),
    };
    const post = (message: WorkerMessage) => {
      if (message.vak === "output") output[message.fd].push(message.bytes);
    };
    const ended = await this.#runner.execute(this.#program, request, limits, outside, post);
    replay.calls = outside.calls;
    replay.fuel = ended.fuel;
    replay.missing = outside.blockedBy ?? null;
    if (looking) replay.state = stateOf(outside, ended.fuel, this.#volume, output);
    if (!outside.divergence && !outside.blockedBy && !outside.reached) {
      if (end) compareEnds(outside, { run, trace, end }, ended, output);
      else {
        compareReach(outside, trace, reach.fuel, ended);
        replay.missing = describeReach(run, trace, reach);
      }
    }
    const found = outside.divergence;
    // A wrong value shows before anything is executed, but belongs to its call.
    const later = fault && found && (found.call === null || found.call > faults[0]!.call);
    replay.divergence = (later ? fault : (found ?? fault)) ?? this.#programFault(run);
    if (replay.divergence) replay.verdict = "diverged";
    else if (replay.missing !== null) replay.verdict = outside.blockedBy === undefined ? "interrupted" : "incomplete";
    return replay;
  }

  /** Re-executes a run that `run` continues, for its files. */
  async #reexecute({ id, spawn }: LoggedRun, before: RunPrefix): Promise<void> {
    const { number, args, env, stdin, startTime, changes, calls } = before;
    for (const change of changes) applyChange(this.#volume, change);
    const silent = new SilentOutside(calls.map(({ answer }) => answer));
    const request = { run: number, args: [spawn.agent.name, ...args], env, stdin, seed: spawn.seed, startTime };
    await this.#runner.execute(this.#program, request, this.#limits, silent, () => {});
    if (silent.short)
      throw new VakError("invalid-bundle", `A run before run ${id} makes more calls than there are recorded answers.`);
  }

  /** What captures the run while it executes, if it can be captured. */
  #capturing(
    run: LoggedRun,
    plan: SavePointPlan | undefined,
    fuel: number,
    output: Outputs,
    outside: () => ComparingOutside,
    inside: Inside | undefined,
  ): { capturer?: Capturer } {
    const capturable = this.#capturable;
    if (!capturable || !(plan || inside) || this.#program.reactor) return {};
    const onCapture = (capture: Capture) => {
      const instance = hostSide(this.#runner.current!);
      plan?.onSavePoint({
        run: run.number,
        host: saveHost(this.#volume, instance.process, this.#kept),
        kept: undefined,
        inside: {
          instance,
          capture,
          progress: outside().save(),
          output: copyOutputs(output),
        },
      });
    };
    const { count = 0, after = 0 } = plan ?? {};
    const every = plan ? Math.max(1, Math.floor(fuel / (count + 1))) : Number.MAX_SAFE_INTEGER;
    return {
      capturer: new Capturer(capturable, { every, after }, this.#limits.stackDepth, onCapture, inside?.capture),
    };
  }

  #programFault({ id, spawn }: LoggedRun): Divergence | null {
    const recorded = spawn.agent.program;
    if (recorded === this.#digest) return null;
    return { run: id, call: null, fuel: 0, what: "program", recorded, replayed: this.#digest };
  }
}

/** The agent's files, empty. */
function mounted(limits: Limits, { mounts }: LoggedRun["spawn"]): Volume {
  try {
    return new Volume(limits, shapesOf(mounts));
  } catch (cause) {
    if (!(cause instanceof Errno)) throw cause;
    throw new VakError("invalid-bundle", "The agent's mounts are not valid.", { cause });
  }
}
/** A value in the bundle that is not the one that the log commits to. */
function valueFault({ id }: LoggedRun, { calls }: Met, { call, message }: ValueFault): Divergence {
  const at = { run: id, call, fuel: calls[call - 1]!.fuel, what: "value in the bundle" };
  return { ...at, recorded: "what the log commits to", replayed: message };
}
