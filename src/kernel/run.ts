/** One execution of an agent's program: what it asks and writes, what stops it, and its end in the log. */
import type { Commitment } from "../audit/value.ts";
import { errorText } from "../base/error-text.ts";
import type { Answered } from "../broker/answer.ts";
import { VakError } from "../errors.ts";
import type { Finished, GuestOutcome, NoRoom, RunRequest, WorkerMessage } from "../protocol/messages.ts";
import { parseFinished, parseNoRoom } from "../protocol/parse.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import { fullMessage } from "../worker/capacity.ts";
import { WorkerLost } from "../worker/host.ts";
import { whenOverdue } from "../worker/overdue.ts";
import type { AgentContext } from "./agent-context.ts";
import type { AgentMounts } from "./agent-mounts.ts";
import { Deadline } from "./deadline.ts";
import { OutputStream } from "./output.ts";
import { type CheckedOptions, recordedAnswers } from "./run-options.ts";
import type { RunRecorder } from "./run-recorder.ts";
import { loggedEnd, type RunOutcome, type RunResult, runDigest, type StopLimit, type Usage } from "./run-result.ts";

/**
 * ms that a run has to stop when asked, before its worker is ended, and the agent's files with it. The guest checks
 * every few ms; the rest is for a machine that is too busy to run it.
 */
const GRACE = 2000;
/**
 * ms that a worker may take to begin a run that has waited for room, or to find no room again, before the run's
 * deadline resumes. A worker that finds no room for ever only keeps its own run waiting, as a full browser does.
 */
const ENTER = 20_000;

/** Why a run has no trace if its worker never reported an end. */
const NO_END = "it did not begin, or the worker was lost";

/** How the work of a run ended, before anything of it is reported. */
interface Ending {
  outcome: RunOutcome;
  /** What the worker reported; undefined when it was lost, or the run never began. */
  end?: Finished;
  /** What was done, where the worker reported no end and yet it is known. */
  fuel?: number;
  filesError?: VakError;
}

export class Run {
  /** Unique to this run. */
  readonly id: string;
  /**
   * What the program writes, as it writes it; what nobody reads is kept. Both streams end right after {@link result}
   * settles: whoever has read one to its end can run the agent again, or export the log.
   */
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly stderr: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Settles when the run has ended and its end is in the log. Never rejects. */
  readonly result: Promise<RunResult>;
  /** @internal Why the worker was lost, if it was. */
  lost: string | undefined;
  readonly #number: number;
  readonly #context: AgentContext;
  readonly #mounts: AgentMounts;
  readonly #out = { 1: new OutputStream(), 2: new OutputStream() };
  #outputBytes = 0;
  readonly #recorder: RunRecorder;
  /** The recorded run that this one continues. */
  readonly #fork: ForkPoint | undefined;

  /** Aborts when the run ends, or is asked to. */
  readonly #abort = new AbortController();
  #stopping: StopLimit | undefined;
  #cancelGrace = () => {};
  readonly #deadline: Deadline;
  /** Whether the worker has the run. Otherwise it must send nothing about it. */
  #handed = false;
  /** Whether it has said anything since: the guest is at work, so there was room for it. */
  #heard = false;
  /** Resumes the deadline of a run that has waited for room. */
  #begun: (() => void) | undefined;
  /** Ends the pause, while the guest is paused. */
  #unpause: (() => void) | undefined;

  #calls: number;
  /** The call that the guest waits for. */
  #pending: Promise<void> | undefined;
  /** Whether a function is called; otherwise the program is run. */
  readonly #called: boolean;
  /** What the function answered, as JSON. */
  #answer: Uint8Array<ArrayBuffer> | undefined;

  /** @internal Runs are made by `agent.run`. */
  constructor(context: AgentContext, mounts: AgentMounts, number: number, options: CheckedOptions, fork?: ForkPoint) {
    this.#context = context;
    this.#mounts = mounts;
    this.#fork = fork;
    this.#calls = fork ? fork.call - 1 : 0;
    this.#number = number;
    this.#called = options.call !== undefined;
    this.id = `${context.ref.id}/${number}`;
    this.stdout = this.#out[1].readable;
    this.stderr = this.#out[2].readable;
    const { log, ref } = context;
    this.#recorder = context.recorder.run(options.trace, async (part, commitment) =>
      log.post({ type: "trace", agent: ref, run: this.id, part }, { commitment }),
    );
    if (fork) this.#recorder.continue(fork);
    this.#deadline = new Deadline(context.limits.deadlineMs, () => this.stopFor("deadline"));
    this.result = this.#execute(options);
  }

  /** Stops the run. Its result is then `stopped`, `aborted`, unless the page had seen it end or stopped it already. */
  stop(): void {
    this.stopFor("aborted");
  }

  /**
   * Pauses the guest at its next check, within a few ms; the deadline stands still meanwhile. A call that is under way
   * is completed.
   */
  pause(): void {
    if (this.#abort.signal.aborted || this.#unpause) return;
    this.#unpause = this.#deadline.hold();
    this.#context.channel.pause();
  }

  /** Resumes a paused guest. */
  resume(): void {
    if (this.#abort.signal.aborted || !this.#unpause) return;
    this.#unpause();
    this.#unpause = undefined;
    this.#context.channel.resume();
  }

  /** @internal Ends the streams, once the agent has let go of the run. */
  endOutput(): void {
    this.#out[1].end();
    this.#out[2].end();
  }

  /** @internal Closes the gate for this run: no call is answered from here on. */
  stopFor(limit: StopLimit): void {
    if (this.#abort.signal.aborted) return;
    this.#stopping = limit;
    this.#abort.abort(new VakError("aborted", `The run was stopped: ${limit}.`));
    const { host, channel } = this.#context;
    channel.stop();
    if (this.#unpause) channel.resume();
    this.#cancelGrace = whenOverdue(GRACE, () => host.end(`the run did not stop within ${GRACE} ms`));
  }

  /** @internal False when the worker must not say this now. */
  receive(message: WorkerMessage): boolean {
    if (message.vak === "hello" || message.run !== this.#number || !this.#handed) return false;
    this.#heard = true;
    this.#begun?.();
    if (message.vak === "met") return this.#recorder.met(message);
    if (this.#abort.signal.aborted) return true;
    if (message.vak === "output") return this.#write(message.fd, message.bytes as Uint8Array<ArrayBuffer>);
    // A guest is one thread: it asks, and waits for the answer.
    if (this.#pending || message.call !== this.#calls + 1) return false;
    if (this.#calls === this.#context.limits.calls) {
      this.stopFor("calls");
      return true;
    }
    this.#calls++;
    this.#recorder.call(message.fuel, message.bytes);
    this.#pending = this.#call(message.bytes, message.call).finally(() => {
      this.#pending = undefined;
    });
    return true;
  }

  #write(fd: 1 | 2, bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#outputBytes += bytes.byteLength;
    if (this.#outputBytes > this.#context.limits.outputBytes) return false;
    this.#out[fd].push(bytes);
    return true;
  }

  async #call(request: Uint8Array, call: number): Promise<void> {
    const { broker, channel, ref, limits, rights, leases, taint } = this.#context;
    const { signal } = this.#abort;
    const hold = () => this.#deadline.hold();
    const caller = {
      agent: ref,
      run: this.id,
      call,
      callBytes: limits.callBytes,
      signal,
      taint,
      hold,
      rights,
      leases,
    };
    let answer: Answered;
    try {
      answer = await broker.handle(caller, request);
    } catch {
      return this.stopFor("log-unavailable");
    }
    if (signal.aborted) return;
    this.#recorder.answer(answer.bytes, answer.kept);
    channel.answer(call, answer.bytes);
  }

  async #execute(options: CheckedOptions): Promise<RunResult> {
    const { signal } = options;
    const onAbort = () => this.stop();
    if (signal?.aborted) this.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    const began = performance.now();
    const ending = await this.#work(options);
    this.#deadline.end();
    this.#cancelGrace();
    signal?.removeEventListener("abort", onAbort);
    // Nobody waits any longer for a tool that is still at work; its outcome goes into the log before the run's end.
    this.#abort.abort();
    await this.#pending;
    return this.#finish(ending, performance.now() - began);
  }

  /** From the run's start in the log to its end in the worker. */
  async #work(options: CheckedOptions): Promise<Ending> {
    try {
      await this.#logStart(options);
      this.#deadline.start();
      const filesError = this.#stopping || !this.#context.mounts ? undefined : await this.#readMounts();
      if (filesError) this.stopFor(filesError.code === "log-unavailable" ? "log-unavailable" : "files-unavailable");
      if (this.#stopping) return { outcome: stopped(this.#stopping), ...(filesError && { filesError }) };
      const reported = await this.#enter(options);
      if ("outcome" in reported) return { outcome: this.#judge(reported.outcome), end: reported };
      if (this.#stopping) return { outcome: stopped(this.#stopping) };
      return { outcome: { status: "failed", message: fullMessage(reported, this.#context.onFull) }, fuel: 0 };
    } catch (error) {
      if (error instanceof WorkerLost) this.lost = error.message;
      if (this.#stopping) return { outcome: stopped(this.#stopping) };
      if (error instanceof VakError && error.code === "log-unavailable") return { outcome: stopped("log-unavailable") };
      return { outcome: { status: "failed", message: errorText(error) } };
    }
  }

  async #logStart({ args, env, startTime, clock, call, stdin, labels }: CheckedOptions): Promise<void> {
    const { log, ref, taint } = this.#context;
    const commitment = await this.#recorder.input({ env, stdin: call?.input ?? stdin });
    // Synchronously with the entry: no intent can come between the two.
    taint.join(labels);
    const start = {
      type: "run-start",
      ...{ agent: ref, run: this.id, args, env: Object.keys(env), startTime },
      ...(clock === "real" && { clock }),
      ...(this.#fork && { continues: { run: this.#fork.run, call: this.#fork.call } }),
      ...(labels.length > 0 && { labels: [...labels] }),
    } as const;
    await log.append(start, commitment && { commitment });
  }

  /** Why the mounts could not be read; a run that is stopped does not wait for them. */
  async #readMounts(): Promise<VakError | undefined> {
    const { signal } = this.#abort;
    const aborted = new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
    return Promise.race([this.#mounts.load(), aborted]);
  }

  /** Hands the run to the worker once the browser can hold the program, and waits for its end. */
  async #enter({ args, stdin, env, startTime, clock, call }: CheckedOptions): Promise<Finished | NoRoom> {
    const { host, channel, ref, seed, limits, onFull } = this.#context;
    const last = this.#fork?.runs.at(-1);
    const request: RunRequest = {
      ...{ run: this.#number, args: [ref.name, ...args], env, stdin, seed, startTime },
      ...(clock === "real" && { clock }),
      ...(call && { call }),
      ...(last && { answers: recordedAnswers(last) }),
    };
    const attempt = async () => {
      channel.reset();
      this.#recorder.enter();
      this.#handed = true;
      this.#heard = false;
      const { waited } = request;
      if (waited) this.#holdUntilBegun();
      const running = host.call("run", request);
      // A run does not know of a pause that came before it.
      if (this.#unpause) channel.pause();
      const giveBack = this.#deadline.mark();
      const reply = await running.finally(() => this.#begun?.());
      if (!parseNoRoom(reply)) return reply;
      if (this.#heard) this.#loseForEnd();
      this.#handed = false;
      giveBack();
      return reply;
    };
    const hold = () => {
      request.waited = true;
      return this.#deadline.hold();
    };
    let reply: unknown;
    try {
      const { signal } = this.#abort;
      reply = await host.capacity.enter(attempt, { onFull, signal, hold });
    } catch (error) {
      if (error instanceof WorkerLost) throw error;
      // Whatever a guest does gives a result: only a subverted worker refuses a run.
      this.#lose(`the worker failed: ${errorText(error)}`);
    }
    return parseFinished(reply, limits) ?? parseNoRoom(reply) ?? this.#loseForEnd();
  }

  /** It can take an engine seconds to find out that it has no room, which are not the guest's. */
  #holdUntilBegun(): void {
    const release = this.#deadline.hold();
    const cancel = whenOverdue(ENTER, () => this.#begun?.());
    this.#begun = () => {
      cancel();
      release();
      this.#begun = undefined;
    };
  }

  /**
   * What the run came to. One that was asked to stop is stopped, even if its program ended before it saw that: from
   * then on no output was taken, so what it did is not all there.
   */
  #judge(outcome: GuestOutcome): RunOutcome {
    const answer = outcome.status === "exited" ? outcome.value : undefined;
    if (answer && !this.#called) this.#lose("the worker answered a call that nobody made");
    const value = answer && this.#valueOf(answer);
    if (this.#stopping) return stopped(this.#stopping);
    this.#answer = answer;
    if (answer) return { status: "exited", exitCode: 0, value };
    if (outcome.status === "exited") return { status: "exited", exitCode: outcome.exitCode };
    if (outcome.status === "trapped") return outcome;
    if (outcome.limit !== "asked") return stopped(outcome.limit);
    return this.#lose("the worker stopped a run that nobody asked it to stop");
  }

  #valueOf(answer: Uint8Array<ArrayBuffer>): unknown {
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(answer));
    } catch {
      // The sandbox checks it too.
      return this.#lose("the worker gave an answer that is not JSON");
    }
  }

  #loseForEnd(): never {
    return this.#lose("the worker reported an end that the protocol does not allow");
  }

  #lose(why: string): never {
    this.#context.host.lose(why);
    throw new WorkerLost(why);
  }

  /** Completes the trace, writes the mounts back, and puts the end into the log. */
  async #finish({ outcome, end, fuel, filesError }: Ending, wallMs: number): Promise<RunResult> {
    const usage: Usage = {
      fuel: end?.fuel ?? fuel ?? null,
      memoryBytes: end?.memoryBytes ?? null,
      wallMs: Math.round(wallMs),
      outputBytes: this.#outputBytes,
      fileBytes: end?.fileBytes ?? null,
      calls: this.#calls,
    };
    const stdout = this.#out[1].digest();
    const stderr = this.#out[2].digest();
    const digest = end ? runDigest(outcome, this.#answer, end.files, stdout, stderr) : null;
    const trace = await this.#recorder.trace(end, stdout, stderr);
    const mountError = end ? await this.#mounts.save() : filesError;
    return this.#logEnd({ ...outcome, usage, digest, ...(mountError && { filesError: mountError }) }, trace);
  }

  /** Puts the end into the log, with the trace, and a signed checkpoint over it. */
  async #logEnd(result: RunResult, trace: Commitment | undefined): Promise<RunResult> {
    const { log, ref } = this.#context;
    try {
      const untraced = trace ? null : (this.#recorder.untraced ?? NO_END);
      const end = { type: "run-end", agent: ref, run: this.id, ...loggedEnd(result), untraced } as const;
      await log.append(end, trace && { commitment: trace });
      // The result need not wait for the signature. A log that cannot sign has failed, and reports that itself.
      log.checkpoint().catch(() => {});
      return result;
    } catch {
      // Nothing is claimed that cannot be recorded.
      return { ...stopped("log-unavailable"), usage: result.usage, digest: result.digest };
    }
  }
}

const stopped = (limit: StopLimit): RunOutcome => ({ status: "stopped", limit });
