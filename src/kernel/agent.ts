/** An agent, a principal: a program, its limits, its rights and labels, its files and its worker. */
import { errorText } from "../base/error-text.ts";
import { lazy } from "../base/lazy.ts";
import { toUtf8 } from "../base/utf8.ts";
import type { Lease, LeaseOptions } from "../broker/lease.ts";
import { checkGrants, type Rights } from "../broker/rights.ts";
import { label } from "../broker/taint.ts";
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { WorkerMessage } from "../protocol/messages.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import { WorkerLost } from "../worker/host.ts";
import type { AgentContext } from "./agent-context.ts";
import { AgentFiles } from "./agent-files.ts";
import { Run } from "./run.ts";
import { type CallOptions, type CheckedOptions, checkRun, type RunOptions, recordedOptions } from "./run-options.ts";

/** Who says that an agent no longer holds anything of a label, and why; both are in the log. */
export interface Declassification {
  /** 1 to 128 printable characters. */
  by: string;
  /** 1 to 1,000 printable characters. */
  reason: string;
}

/**
 * Lives until it is closed.
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
  readonly #context: AgentContext;
  readonly #onClose: (agent: Agent) => void;
  #runs = 0;
  #current: Run | undefined;
  #ended: VakError | undefined;
  #closing: Promise<void> | undefined;

  /** @internal Agents are made by `kernel.spawn`. */
  constructor(context: AgentContext, onClose: (agent: Agent) => void) {
    this.#context = context;
    this.#onClose = onClose;
    this.name = context.ref.name;
    this.id = context.ref.id;
    this.program = context.ref.program;
    this.limits = context.limits;
    this.files = new AgentFiles(
      context,
      (labels) => this.#join(labels),
      (error) => this.#explain(error),
      () => this.#current !== undefined,
    );
  }

  /**
   * Executes the program in a fresh instance, over the agent's files. One run at a time.
   *
   * @throws VakError `closed`, `agent-lost`, `agent-busy`, or `invalid-argument`
   */
  run(options: RunOptions = {}): Run {
    if (this.#context.reactor) {
      throw new VakError("invalid-argument", "The program has no _start: call its functions with agent.call.");
    }
    return this.#begin(checkRun(options));
  }

  /**
   * Calls a function of a reactor, a program without `_start`. Its instance is kept from call to call, until a call
   * does not return; `docs/guests.md` has the convention. One call at a time; each is a run, with limits of its own.
   *
   * @param name the export's name
   * @param input anything that JSON can hold, at most `callBytes` of it
   * @throws VakError `closed`, `agent-lost`, `agent-busy`, or `invalid-argument`
   * @example
   * const result = await agent.call("summarise", { text }).result;
   * if (result.status === "exited") show(result.value);
   */
  call(name: string, input: unknown, options: CallOptions = {}): Run {
    if (!this.#context.reactor) {
      throw new VakError("invalid-argument", "The program has a _start: run it with agent.run.");
    }
    const { signal, startTime, clock, trace, labels } = options;
    const checked = checkRun({ args: [name], signal, startTime, clock, trace, labels });
    const json = toUtf8(toJson(input));
    if (json.byteLength > this.limits.callBytes) {
      throw new VakError(
        "invalid-argument",
        `The input has ${json.byteLength} bytes as JSON; limits.callBytes is ${this.limits.callBytes}.`,
      );
    }
    return this.#begin({ ...checked, call: { name, input: json } });
  }

  /**
   * @internal Continues a recorded run: re-executes the agent's earlier runs, then begins the run, which gets the
   * recorded answers and asks again from the fork's call on. Only for a new agent, and only once.
   *
   * @throws VakError `invalid-bundle` when an earlier run does not come to an end; `invalid-argument`, `unsupported`
   */
  async fork(point: ForkPoint, signal: AbortSignal | undefined): Promise<Run> {
    try {
      const { reexecute } = await lazy(import("./reexecute.ts"));
      const last = await reexecute(this.#context, point, signal);
      this.#runs = last.number - 1;
      return this.#begin(recordedOptions(last, signal), point);
    } catch (error) {
      throw error instanceof VakError ? error : this.#explain(error);
    }
  }

  #begin(options: CheckedOptions, fork?: ForkPoint): Run {
    this.#assertAlive();
    if (this.#current) throw new VakError("agent-busy", "The agent is running; await run.result, or spawn another.");
    this.#context.taint.joined(options.labels); // throws where there would be too many labels
    const run = new Run(this.#context, this.files.mounts, ++this.#runs, options, fork);
    this.#current = run;
    this.files.began(run.result);
    run.result.then(() => {
      this.#current = undefined;
      run.endOutput(); // first: whatever fails after it, no reader waits for ever
      if (run.lost !== undefined) this.lose(run.lost);
    });
    return run;
  }

  /**
   * The labels of everything that the agent has read, in order: what it holds in memory and files, and what it says,
   * may derive from it. They only grow, except by {@link declassify}.
   */
  get labels(): readonly string[] {
    return this.#context.taint.list;
  }

  /**
   * Declares that the agent now has data with these labels, which reached it in a way that vak cannot see.
   *
   * @throws VakError `invalid-argument`, `closed`, `agent-lost`, `log-unavailable`
   */
  async label(labels: readonly string[]): Promise<void> {
    await this.#join(checkLabels(labels, "an agent"));
  }

  /** Throws synchronously. */
  #join(labels: readonly string[]): Promise<unknown> {
    this.#assertAlive();
    return label(this.#context, labels);
  }

  /**
   * Declares that nothing the agent holds, in memory or files, has these labels any longer. It takes effect with the
   * next call, and is in the log. What the agent gets later labels it again.
   *
   * @param labels labels that it has
   * @throws VakError `invalid-argument`, `closed`, `agent-lost`, `log-unavailable`
   * @example
   * await agent.declassify(["secret"], { by: "ann", reason: "The summary has no names in it; I read it." });
   */
  async declassify(labels: readonly string[], { by, reason }: Declassification): Promise<void> {
    this.#assertAlive();
    const gone = checkLabels(labels, "a declassification");
    const { log, ref, taint } = this.#context;
    const none = gone.find((label) => !taint.list.includes(label));
    if (none !== undefined || gone.length === 0) {
      throw new VakError("invalid-argument", `agent.declassify: the agent has no label ${JSON.stringify(none ?? "")}.`);
    }
    if (!isStatement(by, 128) || !isStatement(reason, 1000)) {
      throw new VakError("invalid-argument", "agent.declassify: say who declares it (by) and why (reason).");
    }
    // Synchronously: no intent can come between the two.
    taint.drop(gone);
    await log.append({ type: "agent-declassify", agent: ref, labels: [...gone], by, reason });
  }

  /**
   * Restricts the agent, and agents that descend from it, to these of the tools that it may ask for; from the next call
   * on, also in the middle of a run. This cannot be undone.
   *
   * @param tools names of tools that it may ask for now
   * @throws VakError `invalid-argument` when it may not ask for one of them or its rights were revoked; `closed`,
   *   `agent-lost`, `log-unavailable`
   */
  async attenuate(tools: readonly string[]): Promise<void> {
    this.#assertAlive();
    const { rights, log, ref } = this.#context;
    if (rights.revoked) {
      throw new VakError("invalid-argument", "The agent's rights were revoked; there is nothing left to restrict.");
    }
    const grants = checkGrants(tools, rights);
    // Synchronously: no intent can come between the two.
    rights.narrow(grants);
    await log.append({ type: "agent-attenuate", agent: ref, grants });
  }

  /**
   * Revokes all rights of the agent and of agents that descend from it; from the next call on, also in the middle of a
   * run. A call that is under way is completed: stop the run to cancel it.
   *
   * @throws VakError `closed`, `agent-lost`, `log-unavailable`
   */
  async revoke(): Promise<void> {
    this.#assertAlive();
    const { rights, log, ref } = this.#context;
    if (!rights.revoke()) return;
    await log.append({ type: "agent-revoke", agent: ref });
  }

  /**
   * Gives the agent permits for a task, besides the policy: they help where only a permit is missing, and lift no
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
    this.#assertAlive();
    const { Lease, checkLease } = await lazy(import("../broker/lease.ts"));
    const { permit, until } = checkLease(options);
    const { broker, log, ref } = this.#context;
    const rules = await broker.lease(permit);
    this.#assertAlive();
    const { policyDigest, policies } = rules;
    const entry = { agent: ref, permit, policies: [...policies], policyDigest };
    const { seq } = await log.append({ type: "lease", ...entry, until: typeof until === "number" ? until : null });
    const lease = new Lease(seq, ref, log, rules, until);
    for (const one of this.#context.leases) if (!one.live) this.#context.leases.delete(one);
    this.#context.leases.add(lease);
    if (this.#ended) lease.drop();
    return lease;
  }

  /** @internal */
  get rights(): Rights {
    return this.#context.rights;
  }

  /**
   * Stops the run, if there is one, and ends the worker. The agent's files are discarded, except those that are kept
   * elsewhere: mounts are written back a last time.
   *
   * @throws VakError where they could not be written, once all else is closed: `files-conflict`, `files-denied`,
   *   `files-in-use`, `files-unavailable`, `log-unavailable`
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Gets what the worker posts, parsed. */
  receive(message: WorkerMessage): void {
    if (!this.#current?.receive(message)) this.#context.host.lose("the worker sent a message out of turn");
  }

  /** @internal */
  lose(why: string): void {
    this.#ended ??= lost(why);
    this.#context.host.end(why);
    this.files.ended();
    this.#onClose(this);
  }

  /** @internal Stops the run because the log can no longer be written. */
  logFailed(): void {
    this.#current?.stopFor("log-unavailable");
  }

  async #close(): Promise<void> {
    for (const lease of this.#context.leases) lease.drop();
    const { host, log, ref } = this.#context;
    const lost = this.#ended !== undefined;
    this.#ended ??= new VakError("closed", "The agent was closed. Spawn it again.");
    this.#current?.stop();
    await this.#current?.result;
    const unsaved = lost ? undefined : await this.files.mounts.save();
    host.end("the agent was closed");
    await this.files.ended();
    this.#onClose(this);
    if (lost) return;
    await log.append({ type: "agent-close", agent: ref }).catch((error: VakError) => {
      // A log that can no longer be written has reported it already, where it mattered.
      if (error.code !== "log-unavailable" && error.code !== "closed") throw error;
    });
    if (unsaved) throw unsaved;
  }

  #assertAlive(): void {
    if (this.#ended) throw this.#gone();
  }

  /** Why nothing can be done with the agent any longer: a new error each time, for its stack. */
  #gone(cause?: unknown): VakError {
    const { code, message } = this.#ended ?? lost(errorText(cause));
    return new VakError(code, message, { cause });
  }

  #explain(error: unknown): VakError {
    return error instanceof WorkerLost || this.#ended
      ? this.#gone(error)
      : new VakError("invalid-argument", `The agent's file system refused: ${errorText(error)}.`);
  }
}

const lost = (why: string): VakError =>
  new VakError("agent-lost", `The agent's worker has ended: ${why}. Spawn the agent again.`);

/** Whether it is a printable statement for the log. */
const isStatement = (text: unknown, length: number): text is string =>
  typeof text === "string" && text.length <= length && /^[^\p{C}]+$/u.test(text);

function toJson(input: unknown): string {
  try {
    const text = JSON.stringify(input);
    if (text !== undefined) return text;
  } catch {} // a cycle, a bigint
  throw new VakError("invalid-argument", "agent.call: the input must be a value that JSON can hold.");
}
