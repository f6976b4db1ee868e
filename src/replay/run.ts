/** Executes recorded runs again, and compares. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { canonicalBytes, canonicalJson } from "../audit/canonical.ts";
import { toUtf8 } from "../audit/encoding.ts";
import type { RunEnd } from "../audit/entry.ts";
import { VakError } from "../errors.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import type { Ended, WorkerMessage } from "../protocol.ts";
import { compile, execute, type Loaded, load, MACHINE } from "../sandbox/program.ts";
import { Volume } from "../sandbox/vfs.ts";
import type { Stream, Trace } from "../trace.ts";
import { applyChange, type Divergence, type KnownCall, Recorded } from "./recorded.ts";
import type { LoggedRun, Recording } from "./recording.ts";

/** What became of executing a run again. */
export interface Replay {
  /** The run's id. */
  run: string;
  /** `incomplete`: as far as it could be followed it was the same, and {@link Replay.missing} says what there was not. */
  verdict: "same" | "diverged" | "incomplete";
  /** The first difference, when it diverged. */
  divergence: Divergence | null;
  missing: string | null;
  /** Calls that were compared. */
  calls: number;
  /** Units of work done. */
  fuel: number;
  /** What could not be compared, since it is not in the bundle. */
  notCompared: string[];
}

/** An agent that lives again: its program, and its files as its runs leave them. */
export class Session {
  private readonly recording: Recording;
  private readonly limits: Limits;
  private readonly volume: Volume;
  private readonly program: Loaded;
  /** The digest of the program that is executed. */
  private readonly digest: string;

  private constructor(recording: Recording, limits: Limits, program: Loaded, digest: string) {
    this.recording = recording;
    this.limits = limits;
    this.program = program;
    this.digest = digest;
    this.volume = new Volume(limits);
  }

  /**
   * @param program the agent's program, or another one
   * @throws VakError `unsupported` for a recording of another machine, or a program that this engine does not take;
   *   `invalid-bundle`
   */
  static async start(recording: Recording, { spawn }: LoggedRun, program: Uint8Array): Promise<Session> {
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
    try {
      const admitted = await compile(program, limits);
      return new Session(recording, limits, load(admitted), await digestOf(program));
    } catch (cause) {
      const why = (cause as Error).message;
      throw new VakError("unsupported", `The program cannot be executed here: ${why}`, { cause });
    }
  }

  /**
   * Executes the agent's next run. The runs before it must have been executed.
   *
   * @throws VakError `not-found` when its trace is not in the bundle, `invalid-bundle`
   */
  async replay(run: LoggedRun): Promise<Replay> {
    const replay: Replay = {
      run: run.id,
      verdict: "same",
      divergence: null,
      missing: null,
      calls: 0,
      fuel: 0,
      notCompared: [],
    };
    // It was stopped before the worker heard of it: only its number was used.
    if (run.end?.status === "stopped" && run.end.digest === null && run.end.usage.fuel === undefined) {
      return { ...replay, notCompared: ["it was stopped before it began"] };
    }
    const { input, trace, end } = await this.recording.traceOf(run);
    const { known, fault } = await this.knownCalls(run, trace, replay.notCompared);
    for (const change of trace.changes) if (change.at === null) applyChange(this.volume, change);
    const recorded = new Recorded(run.id, trace, known, this.volume);
    const output = { 1: new Taken(trace.stdout.bytes), 2: new Taken(trace.stderr.bytes) };
    const request = {
      run: run.number,
      args: [run.spawn.agent.name, ...run.start.args],
      env: input.env,
      stdin: input.stdin,
      seed: run.spawn.seed,
      startTime: run.start.startTime,
    };
    const limits = { ...this.limits, fuel: fuelFor(end, this.limits) };
    const post = (message: WorkerMessage) => {
      if (message.vak === "output") output[message.fd].push(message.bytes);
    };
    const ended = await execute(this.program, request, limits, this.volume, recorded, post);
    replay.calls = recorded.calls;
    replay.fuel = ended.fuel;
    replay.missing = recorded.cut ?? null;
    if (!recorded.divergence && !recorded.cut) compareEnds(recorded, { run, trace, end }, ended, output);
    const found = recorded.divergence;
    // What is wrong with a value shows before anything is executed, but belongs to its call.
    const later = fault && found && (found.call === null || found.call > fault.call!);
    replay.divergence = (later ? fault : (found ?? fault)) ?? this.programFault(run);
    if (replay.divergence) replay.verdict = "diverged";
    else if (replay.missing !== null) replay.verdict = "incomplete";
    return replay;
  }

  private programFault({ id, spawn }: LoggedRun): Divergence | null {
    const recorded = spawn.agent.program;
    if (recorded === this.digest) return null;
    return { run: id, call: null, fuel: 0, what: "program", recorded, replayed: this.digest };
  }

  /** The calls of a trace with what the log keeps of them; and the first whose value is not what it commits to. */
  private async knownCalls(run: LoggedRun, trace: Trace, notCompared: string[]) {
    let fault: Divergence | undefined;
    const known: KnownCall[] = [];
    for (const [i, call] of trace.calls.entries()) {
      const number = i + 1;
      const entry = run.calls.get(number);
      let input: KnownCall["input"];
      let answered: Uint8Array | undefined;
      try {
        const opened = entry && (await this.recording.value(entry));
        if (opened) input = { json: canonicalJson(opened.value), withheld: opened.withheld };
        else if (entry?.inputDigest) notCompared.push(`the input of call ${number}, which is not in the bundle`);
        answered = await this.answerOf(run, number, call.answer);
      } catch (error) {
        if (!(error instanceof VakError)) throw error;
        const at = { run: run.id, call: number, fuel: call.fuel, what: "value in the bundle" };
        fault ??= { ...at, recorded: "what the log commits to", replayed: error.message };
      }
      known.push({ ...call, entry, input, answered });
    }
    return { known, fault };
  }

  /** The bytes that the guest read. @throws VakError `invalid-bundle` */
  private async answerOf(
    run: LoggedRun,
    call: number,
    answer: string | number | null,
  ): Promise<Uint8Array | undefined> {
    if (typeof answer !== "number") return answer === null ? undefined : toUtf8(answer);
    const outcome = run.outcomes.get(answer);
    if (outcome?.call !== call) throw new VakError("invalid-bundle", `Entry ${answer} is not the outcome of the call.`);
    const opened = await this.recording.value(outcome);
    if (!opened) return undefined;
    const json = canonicalJson(opened.value);
    return toUtf8(outcome.status === "ok" ? `{"ok":${json}}` : json);
  }
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
  private readonly hash = sha256.create();
  private left: number;

  constructor(bytes: number) {
    this.left = bytes;
  }

  push(bytes: Uint8Array): void {
    this.bytes += bytes.byteLength;
    const part = bytes.subarray(0, this.left);
    this.left -= part.byteLength;
    this.hash.update(part);
  }

  digest(): string {
    return bytesToHex(this.hash.digest());
  }
}

function compareEnds(
  recorded: Recorded,
  { run, trace, end }: { run: LoggedRun; trace: Trace; end: RunEnd },
  ended: Ended,
  output: { 1: Taken; 2: Taken },
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
  // The outcome is the same by now, and the log knows which limit it was.
  const { status, exitCode, trap, limit } = end;
  const set = {
    ...(exitCode !== null && { exitCode }),
    ...(trap !== null && { trap }),
    ...(limit !== null && { limit }),
  };
  const digest = { files: ended.files, outcome: { status, ...set }, stderr, stdout };
  same("digest", end.digest, bytesToHex(sha256(canonicalBytes(digest))));
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
