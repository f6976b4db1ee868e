import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { transfer } from "comlink";
import { canonicalBytes } from "../audit/canonical.ts";
import { lazy } from "../audit/core.ts";
import { type AgentRef, clip } from "../audit/entry.ts";
import type { AuditLog } from "../audit/log.ts";
import type { Commitment } from "../audit/value.ts";
import { VakError } from "../errors.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import {
  AnswerBuffer,
  type FileStat,
  isDigest,
  type KernelMessage,
  type NoRoom,
  type Outcome,
  parseFile,
  parseFileList,
  parseFileStat,
  parseNoRoom,
  parseRunEnd,
  type RunEnd,
  type RunRequest,
  type SandboxApi,
  type Trap,
  type WorkerMessage,
} from "../protocol.ts";
import type { ForkPoint, RunPrefix, Stream } from "../trace.ts";
import type { Broker } from "./broker.ts";
import { type Host, WorkerLost, whenOverdue } from "./host.ts";
import { type Labels, label } from "./labels.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import type { Recorder, RunRecorder } from "./recorder.ts";
import { checkGrants, type Rights } from "./rights.ts";
import type { OnFull } from "./room.ts";

/** What a run used. */
export interface Usage {
  /** Units of work; null when the worker was lost and cannot say, or the run was stopped before it began. */
  fuel: number | null;
  /** Peak bytes of linear memory; null when the worker was lost and cannot say. */
  memoryBytes: number | null;
  /** Wall-clock ms from start to end, waiting included. */
  wallMs: number;
  /** Bytes written to stdout and stderr. */
  outputBytes: number;
  /** Bytes that the agent's files hold at the end; null when the worker was lost. */
  fileBytes: number | null;
  /** Calls made, malformed and denied ones included. */
  calls: number;
}

/** What bound ended a run: a limit, the caller (`aborted`), or a log that could no longer be written. */
export type StopLimit = "fuel" | "deadline" | "output" | "calls" | "aborted" | "log-unavailable";

/** How a run ended. */
export type RunOutcome =
  /** `value` is what the function of a reactor answered; a command has none. */
  | { status: "exited"; exitCode: number; value?: unknown }
  | { status: "trapped"; trap: Trap; message: string }
  | { status: "stopped"; limit: StopLimit }
  /** The worker was lost, or the browser had no room for the program (`createKernel({ onFull })`). */
  | { status: "failed"; message: string };

export type RunResult = RunOutcome & {
  usage: Usage;
  /**
   * SHA-256, hex, of the canonical JSON of `{ files, outcome, stderr, stdout }`: the digests of the file tree and the
   * two streams, and how the run ended, with the digest of a function's answer and without the engine's own words for it. The same in every browser. Null when the worker was lost, and its files with it, or when the run was stopped
   * before it began.
   */
  digest: string | null;
};

export interface RunOptions {
  /** The program's arguments after its name. */
  args?: string[];
  /** Standard input, all of it. */
  stdin?: string | BufferSource;
  env?: Record<string, string>;
  /** Stops the run: its result is then `stopped`, `aborted`. */
  signal?: AbortSignal;
  /** What the guest's clock says at the start, ms since 1970. The default is 2000-01-01, in every run. */
  startTime?: number;
  /**
   * `"virtual"`, the default: a clock that goes with the guest's work and sleep, the same in every execution. `"real"`: the
   * time it is, in whole ms; each reading is kept in the trace, so that a replay reads the same. Files that the guest
   * changes have the time of its last reading.
   */
  clock?: "virtual" | "real";
  /**
   * Whether to keep beside the log what the run is given: stdin, the environment's values, files, and where it was stopped.
   * Default true. Without, neither this run nor a later one of the agent can be replayed, and the log says so.
   */
  trace?: boolean;
  /** What the run is given (arguments, environment, stdin, input) is labelled so, and the agent from here on. */
  labels?: readonly string[];
}

export type CallOptions = Pick<RunOptions, "signal" | "startTime" | "clock" | "trace" | "labels">;

/** Who says that what an agent holds is free of a label, and why; both are in the log. */
export interface Declassification {
  /** 1 to 128 printable characters. */
  by: string;
  /** 1 to 1,000 printable characters. */
  reason: string;
}

/** What the kernel makes an agent of. */
export interface AgentParts {
  ref: AgentRef;
  limits: Readonly<Limits>;
  seed: number;
  /** Its functions are called; else it is a command, and run. */
  reactor: boolean;
  host: Host;
  broker: Broker;
  rights: Rights;
  labels: Labels;
  leases: Set<Lease>;
  log: AuditLog;
  /** Where answers go when the worker waits in `Atomics.wait`. */
  answers: SharedArrayBuffer | undefined;
  onFull: OnFull;
  /** Knows of the agent's first files already. */
  recorder: Recorder;
  /** See `agent-spawn` in the log. */
  machine: string;
  onClose(agent: Agent): void;
}

/**
 * ms a run that was asked to stop is given before its worker is ended, and with it the agent's files. Its own checks are
 * a few ms apart; the rest is for a machine that has no time for it.
 */
const GRACE = 2000;

/** Longest message of a run's end in the log, UTF-16 units. */
const MAX_MESSAGE = 1000;

/** Bytes that the arguments and the names of the environment may have together: they are all in one entry of the log. */
const MAX_ARGS = 32 * 1024;

/** Why a run has no trace that did not come to an end of its own in its worker. */
const NO_END = "it did not begin, or the worker was lost";

const DEFAULT_START_TIME = Date.UTC(2000, 0, 1);

const encoder = new TextEncoder();

/**
 * A principal: a program, its limits, its files and its worker. Lives until closed.
 *
 * @example
 * await using agent = await kernel.spawn({ name: "hello", program: fetch("/hello.wasm") });
 * const run = agent.run({ args: ["world"] });
 * const result = await run.result;
 */
export class Agent {
  readonly name: string;
  /** Unique to this spawn. */
  readonly id: string;
  /** SHA-256 of the program's bytes, hex. */
  readonly program: string;
  readonly limits: Readonly<Limits>;
  readonly files: AgentFiles;
  /** @internal */
  readonly machine: string;
  private readonly parts: AgentParts;
  private runs = 0;
  private current: Run | undefined;
  private ended: { code: "closed" | "agent-lost"; why: string } | undefined;
  private closing: Promise<void> | undefined;

  /** @internal Agents are made by `kernel.spawn`. */
  constructor(parts: AgentParts) {
    this.parts = parts;
    this.name = parts.ref.name;
    this.id = parts.ref.id;
    this.program = parts.ref.program;
    this.machine = parts.machine;
    this.limits = parts.limits;
    this.files = new AgentFiles(
      parts,
      (labels) => this.join(labels),
      (error) => this.explain(error),
    );
  }

  /**
   * Executes the program in a fresh instance, over the agent's files. One run at a time.
   *
   * @throws VakError `closed`, `agent-lost`, `agent-busy`, or `invalid-argument`
   */
  run(options: RunOptions = {}): Run {
    if (this.parts.reactor) {
      throw new VakError("invalid-argument", "The program has no _start: call its functions with agent.call.");
    }
    return this.begin(checkOptions(options));
  }

  /**
   * Calls a function of a reactor, a program without `_start`. Its instance is kept from call to call, until one does
   * not return; `docs/guests.md` has the convention. One call at a time; each is a run, with limits of its own.
   *
   * @param name of the export
   * @param input anything that JSON can hold, at most `callBytes` of it
   * @throws VakError `closed`, `agent-lost`, `agent-busy`, or `invalid-argument`
   * @example
   * const result = await agent.call("summarise", { text }).result;
   * if (result.status === "exited") show(result.value);
   */
  call(name: string, input: unknown, options: CallOptions = {}): Run {
    if (!this.parts.reactor) {
      throw new VakError("invalid-argument", "The program is a command: start it with agent.run.");
    }
    const { signal, startTime, clock, trace, labels } = options;
    const checked = checkOptions({
      args: [name],
      ...(signal && { signal }),
      ...(startTime !== undefined && { startTime }),
      ...(clock !== undefined && { clock }),
      ...(trace !== undefined && { trace }),
      ...(labels && { labels }),
    });
    const json = encoder.encode(toJson(input));
    if (json.byteLength > this.limits.callBytes) {
      throw new VakError(
        "invalid-argument",
        `The input has ${json.byteLength} bytes as JSON; limits.callBytes is ${this.limits.callBytes}.`,
      );
    }
    return this.begin({ ...checked, call: { name, input: json } });
  }

  /**
   * @internal Goes on with a recorded run: its agent's earlier runs are done over in silence, with recorded answers, and
   * then it is begun, to ask anew from its call on. Of a fresh agent, once.
   *
   * @throws VakError `invalid-bundle` when what is done over does not come to an end
   */
  async resume(fork: ForkPoint, signal: AbortSignal | undefined): Promise<Run> {
    const { host, recorder, limits, ref, seed, reactor } = this.parts;
    if (reactor) throw new VakError("unsupported", "A call of a function cannot be gone on with, only a run.");
    try {
      for (const run of fork.runs) {
        const last = run === fork.runs.at(-1);
        for (const { path, data } of run.changes) {
          // Of the runs before it the trace has the changes with them.
          if (last) recorder.change(path, data);
          const changed = data === null ? host.call("removeFile", path) : host.call("writeFile", path, data);
          // What was refused then is refused now.
          await changed.catch((error) => {
            if (error instanceof WorkerLost) throw error;
          });
        }
        this.runs = run.number - 1;
        if (last) return this.begin(optionsOf(run, signal), fork);
        const { number, args, env, stdin, startTime } = run;
        const answers = answersOf(run);
        const request = { run: number, args: [ref.name, ...args], env, stdin, seed, startTime, answers, silent: true };
        // A run has no deadline but the one that somebody sets, and here there is no Run to do so.
        const watch = setTimeout(
          () => host.lose(`run ${number} was not done over within deadlineMs`),
          limits.deadlineMs,
        );
        const { onFull } = this.parts;
        const entering = { onFull, signal: signal ?? new AbortController().signal };
        const running = host.room.enter(() => host.call("run", request), entering);
        const reply = await running.finally(() => clearTimeout(watch));
        const full = parseNoRoom(reply);
        if (full) throw new VakError("unsupported", noRoom(full.noRoom));
        const end = parseRunEnd(reply, limits);
        if (end?.outcome.status === "stopped" && end.outcome.limit === "asked") {
          throw new VakError("invalid-bundle", `Run ${number} before it calls more often than it was recorded to.`);
        }
      }
    } catch (error) {
      throw error instanceof VakError ? error : this.explain(error);
    }
    throw new VakError("invalid-argument", "There is no run to go on with.");
  }

  private begin(options: CheckedOptions, fork?: ForkPoint): Run {
    this.assertAlive();
    if (this.current)
      throw new VakError("agent-busy", "The agent is running; await run.result first, or spawn another.");
    this.parts.labels.joined(options.labels); // throws where there would be too many
    const run = new Run(this.parts, ++this.runs, options, fork);
    this.current = run;
    run.result.then(() => {
      this.current = undefined;
      if (run.lost !== undefined) this.lose(run.lost);
    });
    return run;
  }

  /**
   * What the agent has read, in order: what it holds, in memory and in files, and whatever it says may come of that. It only
   * grows, but for {@link declassify}.
   */
  get labels(): readonly string[] {
    return this.parts.labels.list;
  }

  /**
   * Says that the agent has now something of these labels, which reached it in a way that vak cannot see.
   *
   * @throws VakError `invalid-argument`, `closed`, `agent-lost`, `log-unavailable`
   */
  async label(labels: readonly string[]): Promise<void> {
    await this.join(checkLabels(labels, "an agent"));
  }

  /** What it throws, it throws at once. */
  private join(labels: readonly string[]): Promise<unknown> {
    this.assertAlive();
    return label(this.parts, labels);
  }

  /**
   * Says that nothing that the agent holds, in its memory and in its files, is of these labels any more. From the next
   * call on, and in the log. What it gets later labels it anew.
   *
   * @param labels that it has
   * @throws VakError `invalid-argument`, `closed`, `agent-lost`, `log-unavailable`
   * @example
   * await agent.declassify(["secret"], { by: "ann", reason: "The summary has no names in it; I read it." });
   */
  async declassify(labels: readonly string[], { by, reason }: Declassification): Promise<void> {
    this.assertAlive();
    const gone = checkLabels(labels, "a declassification");
    const { log, ref, labels: held } = this.parts;
    const none = gone.find((label) => !held.list.includes(label));
    if (none !== undefined || gone.length === 0) {
      throw new VakError("invalid-argument", `agent.declassify: the agent has no label ${JSON.stringify(none ?? "")}.`);
    }
    if (!isSaid(by, 128) || !isSaid(reason, 1000)) {
      throw new VakError("invalid-argument", "agent.declassify: say who says so (by), and why (reason).");
    }
    // In one turn: no intent can come between the two.
    held.drop(gone);
    await log.append({ type: "agent-declassify", agent: ref, labels: [...gone], by, reason });
  }

  /**
   * Leaves the agent, and agents that come from it, only these of the tools that it may ask for; from the next call on,
   * also in the middle of a run. There is no way back.
   *
   * @param tools names of tools that it may ask for now
   * @throws VakError `invalid-argument` when it may not ask for one of them or for anything any more, `closed`, `agent-lost`, `log-unavailable`
   */
  async attenuate(tools: readonly string[]): Promise<void> {
    this.assertAlive();
    const { rights, log, ref } = this.parts;
    if (rights.revoked) {
      throw new VakError("invalid-argument", "The agent's rights were taken away; there is nothing left to narrow.");
    }
    const grants = checkGrants(tools, rights);
    // In one turn: no intent can come between the two.
    rights.narrow(grants);
    await log.append({ type: "agent-attenuate", agent: ref, grants });
  }

  /**
   * Takes all rights away from the agent and from agents that come from it; from the next call on, also in the middle of
   * a run. A call that is under way goes on: stop the run to give it up.
   *
   * @throws VakError `closed`, `agent-lost`, `log-unavailable`
   */
  async revoke(): Promise<void> {
    this.assertAlive();
    const { rights, log, ref } = this.parts;
    if (!rights.revoke()) return;
    await log.append({ type: "agent-revoke", agent: ref });
  }

  /**
   * Gives the agent permits for a task, besides the policy: they count where only a permit is missing, and lift no
   * `forbid`. They end when the task does, when another policy is loaded, and when the agent is closed.
   *
   * @throws VakError `invalid-policy`, `invalid-argument`, `closed`, `agent-lost`, `log-unavailable`
   * @example
   * await using lease = await agent.lease({
   *   permit: `permit (principal, action == Action::"call:weather", resource);`,
   *   until: run.result,
   * });
   */
  async lease(options: LeaseOptions): Promise<Lease> {
    this.assertAlive();
    const { Lease, checkLease } = await lazy(import("./lease.ts"));
    const { permit, until } = checkLease(options);
    const { broker, log, ref } = this.parts;
    const rules = await broker.lease(permit);
    this.assertAlive();
    const { policyDigest, policies } = rules;
    const entry = { agent: ref, permit, policies: [...policies], policyDigest };
    const { seq } = await log.append({ type: "lease", ...entry, until: typeof until === "number" ? until : null });
    const lease = new Lease(seq, ref, log, rules, until);
    for (const one of this.parts.leases) if (!one.live) this.parts.leases.delete(one);
    this.parts.leases.add(lease);
    if (this.ended) lease.drop();
    return lease;
  }

  /** @internal */
  get rights(): Rights {
    return this.parts.rights;
  }

  /** Stops the run, if there is one, and ends the worker. The files are gone. */
  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal What the worker says, once the kernel has parsed it. */
  receive(message: WorkerMessage): void {
    if (!this.current?.receive(message)) this.parts.host.lose("the worker spoke out of turn");
  }

  /** @internal */
  lose(why: string): void {
    this.ended ??= { code: "agent-lost", why };
    this.parts.host.end(why);
    this.parts.onClose(this);
  }

  /** @internal Stops the run because the log can no longer be written. */
  logFailed(): void {
    this.current?.stopFor("log-unavailable");
  }

  private async shut(): Promise<void> {
    for (const lease of this.parts.leases) lease.drop();
    const { host, log, ref, onClose } = this.parts;
    const lost = this.ended !== undefined;
    this.ended ??= { code: "closed", why: "it was closed" };
    this.current?.stop();
    await this.current?.result;
    host.end("the agent was closed");
    onClose(this);
    if (lost) return;
    await log.append({ type: "agent-close", agent: ref }).catch((error: VakError) => {
      // A log that can no longer be written has said so already, where it mattered.
      if (error.code !== "log-unavailable" && error.code !== "closed") throw error;
    });
  }

  private assertAlive(): void {
    if (this.ended) throw this.goneError();
  }

  private goneError(cause?: unknown): VakError {
    const { code, why } = this.ended ?? { code: "agent-lost" as const, why: "its worker is gone" };
    return new VakError(code, `The agent is no more: ${why}. Spawn it again.`, { cause });
  }

  private explain(error: unknown): VakError {
    return error instanceof WorkerLost || this.ended
      ? this.goneError(error)
      : new VakError("invalid-argument", `The agent's file system refused: ${(error as Error).message}.`);
  }
}

const noRoom = (why: string): string =>
  `${why} A browser holds only so many programs at once: Chromium about 125 in a page, and as many again in its frames. ` +
  "Close agents, or let runs wait for each other (onFull)";

type CheckedOptions = Required<Omit<RunOptions, "stdin" | "signal">> & {
  stdin: Uint8Array<ArrayBuffer>;
  signal: AbortSignal | undefined;
  call?: { name: string; input: Uint8Array<ArrayBuffer> };
};

const answersOf = ({ calls }: RunPrefix): Uint8Array[] => calls.map(({ answer }) => encoder.encode(answer));
/** Text that a person gives for the log. */
const isSaid = (text: unknown, length: number): text is string =>
  typeof text === "string" && text.length <= length && /^[^\p{C}]+$/u.test(text);

const optionsOf = ({ args, env, stdin, startTime }: RunPrefix, signal: AbortSignal | undefined): CheckedOptions => ({
  // What it was given, the agent is labelled by already.
  ...{ args, env, startTime, clock: "virtual", signal, trace: true, labels: [] },
  stdin: toBytes(stdin as Uint8Array<ArrayBuffer>),
});

function toJson(input: unknown): string {
  try {
    const text = JSON.stringify(input);
    if (text !== undefined) return text;
  } catch {} // a cycle, a bigint
  throw new VakError("invalid-argument", "agent.call: the input is a value that JSON can hold.");
}

function checkOptions(options: RunOptions): CheckedOptions {
  const { args = [], stdin = "", env = {}, signal, startTime, clock = "virtual", trace = true, labels = [] } = options;
  const invalid = (what: string) => new VakError("invalid-argument", `agent.run: ${what}.`);
  const clean = (text: unknown): text is string =>
    typeof text === "string" && text.isWellFormed() && !text.includes("\0");
  if (!Array.isArray(args) || !args.every(clean)) throw invalid("args are strings without NUL");
  if (!Object.entries(env).every(([name, value]) => clean(name) && name && !name.includes("=") && clean(value))) {
    throw invalid('env maps names without "=" to strings without NUL');
  }
  const logged = encoder.encode(JSON.stringify([args, Object.keys(env)])).byteLength;
  if (logged > MAX_ARGS)
    throw invalid(`args and the names in env come to ${logged} bytes; at most ${MAX_ARGS} are allowed`);
  if (clock !== "virtual" && clock !== "real") throw invalid('clock is "virtual" or "real"');
  const real = clock === "real";
  if (real && startTime !== undefined)
    throw invalid("startTime is for the virtual clock: the real one has its own time");
  const time = startTime ?? (real ? Date.now() : DEFAULT_START_TIME);
  if (!Number.isSafeInteger(time) || time < 0) throw invalid("startTime is a whole number of ms since 1970");
  if (typeof trace !== "boolean") throw invalid("trace is true or false");
  const given = { args: [...args], stdin: toBytes(stdin), env: { ...env }, labels: checkLabels(labels, "a run") };
  return { ...given, signal, startTime: time, clock, trace };
}

/** A copy of the bytes, or the text as UTF-8. */
export function toBytes(data: string | BufferSource): Uint8Array<ArrayBuffer> {
  if (typeof data === "string") return encoder.encode(data);
  const view = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data;
  return new Uint8Array(view as ArrayBuffer).slice();
}

/** Bytes on their way to the page, and their digest. */
class OutputStream {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  private readonly hash = sha256.create();
  private bytes = 0;
  private controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor() {
    // What nobody reads is kept, and bounded by the limit outputBytes.
    this.readable = new ReadableStream({
      start: (controller) => {
        this.controller = controller;
      },
      cancel: () => {
        this.controller = undefined;
      },
    });
  }

  push(bytes: Uint8Array<ArrayBuffer>): void {
    this.hash.update(bytes);
    this.bytes += bytes.byteLength;
    this.controller?.enqueue(bytes);
  }

  /** Closes the stream and gives the length and the digest of all that went through it. */
  close(): Stream {
    this.controller?.close();
    this.controller = undefined;
    return { bytes: this.bytes, digest: bytesToHex(this.hash.digest()) };
  }
}

/** A timer that can stand still. */
class Countdown {
  private remaining: number;
  private readonly onEnd: () => void;
  private running: { timer: ReturnType<typeof setTimeout>; since: number } | undefined;

  /** @param ms until `onEnd`, once it is started */
  constructor(ms: number, onEnd: () => void) {
    this.remaining = ms;
    this.onEnd = onEnd;
  }

  start(): void {
    if (this.running) return;
    this.running = { timer: setTimeout(this.onEnd, Math.max(0, this.remaining)), since: performance.now() };
  }

  stop(): void {
    if (!this.running) return;
    clearTimeout(this.running.timer);
    this.remaining -= performance.now() - this.running.since;
    this.running = undefined;
  }

  /** Gives back time that was nobody's fault, ms. */
  extend(ms: number): void {
    const { running } = this;
    this.stop();
    this.remaining += ms;
    if (running) this.start();
  }
}

/** One execution of an agent's program. */
export class Run {
  /** Unique to this run. */
  readonly id: string;
  /** What the program writes, while it writes it. */
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly stderr: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Settles when the run has ended and its end is in the log. Never rejects. */
  readonly result: Promise<RunResult>;
  /** @internal Why the worker is gone, if it is. */
  lost: string | undefined;
  private readonly number: number;
  private readonly parts: AgentParts;
  private readonly out = { 1: new OutputStream(), 2: new OutputStream() };
  private readonly abort = new AbortController();
  private stopping: StopLimit | undefined;
  private cancelGrace = () => {};
  private readonly deadline: Countdown;
  private paused = false;
  /** Until when the deadline stands still besides: a person is asked. */
  private holds = 0;
  private outputBytes = 0;
  private readonly called: boolean;
  /** What a function answered, as JSON. */
  private answer: Uint8Array<ArrayBuffer> | undefined;
  private calls: number;
  private readonly recorder: RunRecorder;
  /** The call that the guest waits for. */
  private pending: Promise<void> | undefined;
  /** The recorded run that this one goes on with. */
  private readonly fork: ForkPoint | undefined;

  /** @internal Runs are made by `agent.run`. */
  constructor(parts: AgentParts, number: number, options: CheckedOptions, fork?: ForkPoint) {
    this.parts = parts;
    this.fork = fork;
    this.calls = fork ? fork.call - 1 : 0;
    this.number = number;
    this.called = options.call !== undefined;
    this.id = `${parts.ref.id}/${number}`;
    this.stdout = this.out[1].readable;
    this.stderr = this.out[2].readable;
    this.recorder = parts.recorder.run(options.trace);
    if (fork) this.recorder.goOn(fork);
    this.deadline = new Countdown(parts.limits.deadlineMs, () => this.stopFor("deadline"));
    this.result = this.execute(options);
  }

  /** Asks the run to end. Its result is then `stopped`, `aborted`, unless it had ended already. */
  stop(): void {
    this.stopFor("aborted");
  }

  /**
   * Lets the guest stand still at its next check, a few ms on; the deadline stands still with it. A call that is under
   * way goes on.
   */
  pause(): void {
    if (this.abort.signal.aborted || this.paused) return;
    this.paused = true;
    this.deadline.stop();
    this.tell({ vak: "pause" }, AnswerBuffer.PAUSED, 1);
  }

  /** Lets a paused guest go on. */
  resume(): void {
    if (this.abort.signal.aborted || !this.paused) return;
    this.paused = false;
    if (this.holds === 0) this.deadline.start();
    this.tell({ vak: "resume" }, AnswerBuffer.PAUSED, 0);
  }

  /** Lets the deadline stand still until what it gives is called: a person's time is not the program's. */
  private hold(): () => void {
    this.holds++;
    this.deadline.stop();
    return () => {
      this.holds--;
      if (this.holds === 0 && !this.paused && !this.abort.signal.aborted) this.deadline.start();
    };
  }

  /** @internal Closes the gate for this run: no call is answered from here on. */
  stopFor(limit: StopLimit): void {
    if (this.abort.signal.aborted) return;
    this.stopping = limit;
    this.abort.abort(new VakError("aborted", `The run was stopped: ${limit}.`));
    const { host } = this.parts;
    this.tell({ vak: "stop" }, AnswerBuffer.STATE, AnswerBuffer.STOPPED);
    if (this.paused) this.tell({ vak: "resume" }, AnswerBuffer.PAUSED, 0);
    this.cancelGrace = whenOverdue(GRACE, () => host.end(`the run did not stop within ${GRACE} ms`));
  }

  /** Says it by message and, where the worker may be asleep or busy, by shared memory. */
  private tell(message: KernelMessage, index: number, value: number): void {
    const { host, answers } = this.parts;
    if (answers) {
      const state = new Int32Array(answers, 0, 3);
      Atomics.store(state, index, value);
      Atomics.notify(state, index);
    }
    host.send(message);
  }

  /** @internal False when the worker has no business saying this now. */
  receive(message: WorkerMessage): boolean {
    if (message.vak === "hello" || message.run !== this.number) return false;
    if (this.abort.signal.aborted) return true;
    if (message.vak === "output") return this.output(message.fd, message.bytes as Uint8Array<ArrayBuffer>);
    // A guest is one thread: it asks, and waits for the answer.
    if (this.pending || message.call !== this.calls + 1) return false;
    if (this.calls === this.parts.limits.calls) {
      this.stopFor("calls");
      return true;
    }
    this.calls++;
    this.recorder.call(message.fuel, message.bytes);
    this.pending = this.call(message.bytes, message.call).finally(() => {
      this.pending = undefined;
    });
    return true;
  }

  private output(fd: 1 | 2, bytes: Uint8Array<ArrayBuffer>): boolean {
    this.outputBytes += bytes.byteLength;
    if (this.outputBytes > this.parts.limits.outputBytes) return false;
    this.out[fd].push(bytes);
    return true;
  }

  private async call(request: Uint8Array, call: number): Promise<void> {
    const { broker, ref, limits, host, answers } = this.parts;
    const { signal } = this.abort;
    const { rights, leases, labels } = this.parts;
    const caller = {
      agent: ref,
      run: this.id,
      call,
      callBytes: limits.callBytes,
      signal,
      labels,
      hold: () => this.hold(),
      rights,
      leases,
    };
    let bytes: Uint8Array;
    let kept: number | undefined;
    try {
      ({ bytes, kept } = await broker.handle(caller, request));
    } catch {
      return this.stopFor("log-unavailable");
    }
    if (this.abort.signal.aborted) return;
    this.recorder.answer(bytes, kept);
    if (!answers) return host.send({ vak: "answer", call, bytes });
    const state = new Int32Array(answers, 0, 2);
    new Uint8Array(answers, AnswerBuffer.HEADER_BYTES).set(bytes);
    state[AnswerBuffer.LENGTH] = bytes.byteLength;
    Atomics.store(state, AnswerBuffer.STATE, AnswerBuffer.ANSWERED);
    Atomics.notify(state, AnswerBuffer.STATE);
  }

  private async execute(options: CheckedOptions): Promise<RunResult> {
    const { log, ref } = this.parts;
    const { signal } = options;
    const onAbort = () => this.stop();
    if (signal?.aborted) this.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    const began = performance.now();
    let end: RunEnd | undefined;
    let outcome: RunOutcome;
    /** Where there was no end, but it is known that nothing was done. */
    let fuel: number | null = null;
    try {
      const { args, env, startTime, clock, call, stdin, labels } = options;
      const commitment = await this.recorder.input({ env, stdin: call?.input ?? stdin });
      // In one turn with the entry.
      this.parts.labels.join(labels);
      await log.append(
        {
          type: "run-start",
          agent: ref,
          run: this.id,
          args,
          env: Object.keys(env),
          startTime,
          ...(clock === "real" && { clock }),
          ...this.continues(),
          ...(labels.length > 0 && { labels: [...labels] }),
        },
        commitment && { commitment },
      );
      if (!this.paused) this.deadline.start();
      if (this.stopping) outcome = { status: "stopped", limit: this.stopping };
      else {
        const reported = await this.enter(options);
        if ("outcome" in reported) {
          outcome = this.judge(reported.outcome);
          end = reported;
        } else if (this.stopping) outcome = { status: "stopped", limit: this.stopping };
        else {
          outcome = { status: "failed", message: noRoom(reported.noRoom) };
          fuel = 0;
        }
      }
    } catch (error) {
      if (error instanceof WorkerLost) this.lost = error.message;
      outcome = this.stopping
        ? { status: "stopped", limit: this.stopping }
        : error instanceof VakError && error.code === "log-unavailable"
          ? { status: "stopped", limit: "log-unavailable" }
          : { status: "failed", message: (error as Error).message };
    }
    this.deadline.stop();
    this.cancelGrace();
    signal?.removeEventListener("abort", onAbort);
    // Whatever a tool still does is no longer waited for; its outcome goes into the log before the run's end.
    this.abort.abort();
    await this.pending;

    const usage: Usage = {
      fuel: end?.fuel ?? fuel,
      memoryBytes: end?.memoryBytes ?? null,
      wallMs: Math.round(performance.now() - began),
      outputBytes: this.outputBytes,
      fileBytes: end?.fileBytes ?? null,
      calls: this.calls,
    };
    const stdout = this.out[1].close();
    const stderr = this.out[2].close();
    const shown = { outcome: this.digested(outcome), stderr: stderr.digest, stdout: stdout.digest };
    const digest = end ? bytesToHex(sha256(canonicalBytes({ files: end.files, ...shown }))) : null;
    const trace = end && (await this.recorder.trace(end, stdout, stderr));
    return this.record({ ...outcome, usage, digest }, trace);
  }

  private continues(): { continues?: { run: string; call: number } } {
    return this.fork ? { continues: { run: this.fork.run, call: this.fork.call } } : {};
  }

  /** Hands the run to the worker, once there is room for it, and waits for its end. */
  private async enter({ args, stdin, env, startTime, clock, call }: CheckedOptions): Promise<RunEnd | NoRoom> {
    const { host, ref, seed, limits, answers: shared, onFull } = this.parts;
    const last = this.fork?.runs.at(-1);
    const answers = last && answersOf(last);
    const request: RunRequest = {
      ...{ run: this.number, args: [ref.name, ...args], env, stdin, seed, startTime },
      ...(clock === "real" && { clock }),
      ...(call && { call }),
      ...(answers && { answers }),
    };
    const attempt = () => {
      if (shared) new Int32Array(shared, 0, 3).fill(0);
      this.recorder.enter();
      const running = host.call("run", request);
      // The worker forgets what it was told before the run; its deadline stands still only while the guest does.
      if (this.paused) this.tell({ vak: "pause" }, AnswerBuffer.PAUSED, 1);
      const began = performance.now();
      return running.then((reply) => {
        if (parseNoRoom(reply)) this.deadline.extend(performance.now() - began);
        return reply;
      });
    };
    let reply: unknown;
    try {
      reply = await host.room.enter(attempt, { onFull, signal: this.abort.signal, hold: () => this.hold() });
    } catch (error) {
      if (error instanceof WorkerLost) throw error;
      // Whatever a guest does is a result: only a worker that is not itself refuses a run.
      this.lose(`the worker failed: ${(error as Error).message}`);
    }
    return (
      parseRunEnd(reply, limits) ??
      parseNoRoom(reply) ??
      this.lose("the worker reported an end that is not of the protocol")
    );
  }

  /** The worker knows that it was stopped, the kernel why. */
  private judge(outcome: Outcome): RunOutcome {
    if (outcome.status === "exited" && outcome.value) {
      return this.called ? this.answered(outcome.value) : this.lose("the worker answered where nothing was called");
    }
    if (outcome.status === "exited") return { status: "exited", exitCode: outcome.exitCode };
    if (outcome.status === "trapped") return outcome;
    if (outcome.limit !== "asked") return { status: "stopped", limit: outcome.limit };
    if (this.stopping) return { status: "stopped", limit: this.stopping };
    return this.lose("the worker stopped a run that nobody asked it to stop");
  }

  private answered(bytes: Uint8Array<ArrayBuffer>): RunOutcome {
    try {
      const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      this.answer = bytes;
      return { status: "exited", exitCode: 0, value };
    } catch {
      // The sandbox looks at it too.
      return this.lose("the worker answered what is not JSON");
    }
  }

  /** The outcome without what differs from engine to engine: a trap has the same name in each, and another message. */
  private digested(outcome: RunOutcome): object {
    const { message: _, value: __, ...rest } = { message: "", value: undefined, ...outcome };
    return this.answer ? { ...rest, value: bytesToHex(sha256(this.answer)) } : rest;
  }

  private lose(why: string): never {
    this.parts.host.lose(why);
    throw new WorkerLost(why);
  }

  /** Puts the end into the log, with the trace, and a signed checkpoint over it. */
  private async record(result: RunResult, trace: Commitment | undefined): Promise<RunResult> {
    const { log, ref } = this.parts;
    const usage = Object.entries(result.usage).filter((item): item is [string, number] => item[1] !== null);
    try {
      const end = {
        type: "run-end",
        agent: ref,
        run: this.id,
        status: result.status,
        exitCode: result.status === "exited" ? result.exitCode : null,
        trap: result.status === "trapped" ? result.trap : null,
        limit: result.status === "stopped" ? result.limit : null,
        message: "message" in result ? clip(result.message, MAX_MESSAGE) : null,
        usage: Object.fromEntries(usage),
        digest: result.digest,
        untraced: trace ? null : (this.recorder.untraced ?? NO_END),
      } as const;
      await log.append(end, trace && { commitment: trace });
      // Signed over soon; the result need not wait for it. A log that cannot sign has failed, and says so.
      log.checkpoint().catch(() => {});
      return result;
    } catch {
      // What cannot be recorded cannot be claimed.
      return { status: "stopped", limit: "log-unavailable", usage: result.usage, digest: result.digest };
    }
  }
}

/** An agent's own files, as the page sees them. Paths are relative to the root: `"out/result.txt"`. */
export class AgentFiles {
  private readonly parts: AgentParts;
  private readonly host: Host;
  private readonly limits: Limits;
  private readonly recorder: Recorder;
  private readonly join: (labels: readonly string[]) => Promise<unknown>;
  private readonly explain: (error: unknown) => VakError;

  /**
   * @internal
   * @param join labels the agent
   */
  constructor(parts: AgentParts, join: AgentFiles["join"], explain: AgentFiles["explain"]) {
    this.parts = parts;
    this.join = join;
    this.host = parts.host;
    this.limits = parts.limits;
    this.recorder = parts.recorder;
    this.explain = explain;
  }

  /** @throws VakError `not-found`, `closed`, `agent-lost` */
  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = parseFile(await this.call("readFile", checkPath(path)), this.limits);
    if (file === null) throw notFound(path);
    return file ?? this.garbage();
  }

  /** The file as UTF-8 text. */
  async text(path: string): Promise<string> {
    return new TextDecoder().decode(await this.read(path));
  }

  /**
   * Writes a whole file, making the directories above it.
   *
   * @param options.labels what the data is labelled: the agent is from here on, whether it reads the file or not
   * @throws VakError `invalid-argument` when it does not fit the limits or the path is taken
   */
  async write(
    path: string,
    data: string | BufferSource,
    { labels = [] }: { labels?: readonly string[] } = {},
  ): Promise<void> {
    const bytes = toBytes(data);
    const checked = checkPath(path);
    // In one turn: no call that knows the file is decided without its labels.
    const labelled = this.join(checkLabels(labels, "a file"));
    this.recorder.change(checked, bytes);
    await Promise.all([labelled, this.call("writeFile", checked, transfer(bytes, [bytes.buffer]))]);
  }

  /**
   * Copies a file to another agent, which is labelled as this one then.
   *
   * @param to the files of the other agent, of any kernel of this page
   * @param as its path there; the same unless given
   * @throws VakError as {@link read} and {@link write}
   * @example await writer.files.copy("summary.txt", mailer.files);
   */
  async copy(path: string, to: AgentFiles, as: string = path): Promise<void> {
    const before = this.parts.labels.list;
    const bytes = await this.read(path);
    // What was declassified meanwhile may be in the bytes still.
    await to.write(as, bytes, { labels: joinLabels(before, this.parts.labels.list) });
  }

  /** Every file, directory and symbolic link, in order of path. */
  async list(): Promise<FileStat[]> {
    return parseFileList(await this.call("listFiles"), this.limits) ?? this.garbage();
  }

  /**
   * What a path names; of a symbolic link, the link itself. Its labels are the agent's: which of the things that it read
   * a program wrote into which file, only the program knows.
   *
   * @throws VakError `not-found`, `closed`, `agent-lost`
   */
  async stat(path: string): Promise<FileStat & { labels: readonly string[] }> {
    const reply = await this.call("statFile", checkPath(path));
    if (reply === null) throw notFound(path);
    const stat = parseFileStat(reply, this.limits) ?? this.garbage();
    return { ...stat, labels: this.parts.labels.list };
  }

  /**
   * The SHA-256, hex, of the whole tree: of paths, contents and where links lead, not of times. Two agents with the same
   * files have the same. The worker computes it: where its word is not enough, {@link export} and compare.
   */
  async snapshot(): Promise<string> {
    const digest = await this.call("snapshot");
    return isDigest(digest) ? digest : this.garbage();
  }

  /**
   * A zip of the files and directories. Symbolic links are left out: where one leads is the program's to say, and an
   * unpacker might follow it. The names are the program's too, and all of it is labelled as the agent is.
   *
   * @throws VakError `unsupported` past 65,535 files; `closed`, `agent-lost`
   */
  async export(): Promise<Blob> {
    const { zipFiles } = await import("../audit/bundle.ts");
    return zipFiles(this.each());
  }

  private async *each() {
    for (const { path, type } of await this.list()) {
      if (type === "directory") yield { path: `${path}/`, bytes: new Uint8Array() };
      if (type === "file") yield { path, bytes: await this.read(path) };
    }
  }

  /** Removes a file, a symbolic link or an empty directory; false when there is none. */
  async remove(path: string): Promise<boolean> {
    const checked = checkPath(path);
    this.recorder.change(checked, null);
    const removed = await this.call("removeFile", checked);
    return typeof removed === "boolean" ? removed : this.garbage();
  }

  private async call<Name extends keyof SandboxApi>(
    name: Name,
    ...args: Parameters<SandboxApi[Name]>
  ): Promise<unknown> {
    try {
      return await this.host.call(name, ...args);
    } catch (error) {
      throw this.explain(error);
    }
  }

  private garbage(): never {
    this.host.lose("the worker answered with what is not of the protocol");
    throw this.explain(new WorkerLost("the worker answered with what is not of the protocol"));
  }
}

const notFound = (path: string): VakError =>
  new VakError("not-found", `The agent has no file ${JSON.stringify(path)}.`);

/** @throws VakError `invalid-argument` for a path that no guest could name */
export function checkPath(path: string): string {
  const parts = typeof path === "string" ? path.replace(/^\//, "").split("/") : [""];
  const bad = parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"));
  if (bad || parts[0] === "dev" || !path.isWellFormed()) {
    throw new VakError(
      "invalid-argument",
      `${JSON.stringify(path)} is not a path of an agent's file: write it as "a/b.txt", without "..", and outside dev/.`,
    );
  }
  return parts.join("/");
}
