import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Commitment } from "../audit/value.ts";
import { canonicalBytes } from "../base/canonical.ts";
import { sha256Hex } from "../base/sha256.ts";
import { clip } from "../base/utf8.ts";
import type { Answered } from "../broker/answer.ts";
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import { AnswerBuffer } from "../protocol/answer-buffer.ts";
import type { KernelMessage, NoRoom, Outcome, RunEnd, RunRequest, Trap, WorkerMessage } from "../protocol/messages.ts";
import { parseNoRoom, parseRunEnd } from "../protocol/parse.ts";
import type { ForkPoint, RunPrefix, Stream } from "../protocol/trace.ts";
import { WorkerLost, whenOverdue } from "../worker/host.ts";
import { type AgentFiles, toBytes } from "./agent-files.ts";
import type { Parts } from "./parts.ts";
import type { RunRecorder } from "./recorder.ts";

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

/**
 * What bound ended a run: a limit, the caller (`aborted`), a log that could no longer be written, or mounts that could not
 * be read before it.
 */
export type StopLimit = "fuel" | "deadline" | "output" | "calls" | "aborted" | "log-unavailable" | "files-unavailable";

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
  /**
   * Why the agent's mounts could not be read before the run, or not all that it left in them be written to what keeps them:
   * `files-conflict`, `files-denied`, `files-in-use` or `files-unavailable`. What was not written stays in the agent's files,
   * and is tried again after the next run. Absent where all is well.
   */
  filesError?: VakError;
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

export const noRoom = (why: string): string =>
  `${why} A browser holds only so many programs at once: Chromium about 125 in a page, and as many again in its frames. ` +
  "Close agents, or let runs wait for each other (onFull)";

export type CheckedOptions = Required<Omit<RunOptions, "stdin" | "signal">> & {
  stdin: Uint8Array<ArrayBuffer>;
  signal: AbortSignal | undefined;
  call?: { name: string; input: Uint8Array<ArrayBuffer> };
};

export const answersOf = ({ calls }: RunPrefix): Uint8Array[] => calls.map(({ answer }) => encoder.encode(answer));

export const optionsOf = (
  { args, env, stdin, startTime }: RunPrefix,
  signal: AbortSignal | undefined,
): CheckedOptions => ({
  // What it was given, the agent is labelled by already.
  ...{ args, env, startTime, clock: "virtual", signal, trace: true, labels: [] },
  stdin: toBytes(stdin as Uint8Array<ArrayBuffer>),
});

export function checkOptions(options: RunOptions): CheckedOptions {
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
  private readonly parts: Parts;
  private readonly files: AgentFiles;
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
  constructor(parts: Parts, files: AgentFiles, number: number, options: CheckedOptions, fork?: ForkPoint) {
    this.parts = parts;
    this.files = files;
    this.fork = fork;
    this.calls = fork ? fork.call - 1 : 0;
    this.number = number;
    this.called = options.call !== undefined;
    this.id = `${parts.ref.id}/${number}`;
    this.stdout = this.out[1].readable;
    this.stderr = this.out[2].readable;
    const { log, ref } = parts;
    this.recorder = parts.recorder.run(options.trace, async (part, commitment) =>
      log.post({ type: "trace", agent: ref, run: this.id, part }, { commitment }),
    );
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
    if (message.vak === "met") return this.recorder.met(message);
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
    let answer: Answered;
    try {
      answer = await broker.handle(caller, request);
    } catch {
      return this.stopFor("log-unavailable");
    }
    const { bytes, kept } = answer;
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
    let filesError: VakError | undefined;
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
      if (!this.stopping && this.parts.mounts) filesError = await this.mountsRead();
      if (filesError) this.stopFor(filesError.code === "log-unavailable" ? "log-unavailable" : "files-unavailable");
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
    const digest = end ? sha256Hex(canonicalBytes({ files: end.files, ...shown })) : null;
    const trace = await this.recorder.trace(end, stdout, stderr);
    if (end) filesError = await this.files.saveMounts();
    return this.record({ ...outcome, usage, digest, ...(filesError && { filesError }) }, trace);
  }

  /** Why the mounts could not be read; a run that is stopped does not wait for them. */
  private async mountsRead(): Promise<VakError | undefined> {
    const { signal } = this.abort;
    const stopped = new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
    return Promise.race([this.files.loadMounts(), stopped]);
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
      (this.recorder.begun ? undefined : parseNoRoom(reply)) ??
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
    return this.answer ? { ...rest, value: sha256Hex(this.answer) } : rest;
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
