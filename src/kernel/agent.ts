import { lazy } from "../base/lazy.ts";
import type { Lease, LeaseOptions } from "../broker/lease.ts";
import { checkGrants, type Rights } from "../broker/rights.ts";
import { label } from "../broker/taint.ts";
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { WorkerMessage } from "../protocol/messages.ts";
import { parseNoRoom, parseRunEnd } from "../protocol/parse.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import { WorkerLost } from "../worker/host.ts";
import { AgentFiles } from "./agent-files.ts";
import type { Parts } from "./parts.ts";
import {
  answersOf,
  type CallOptions,
  type CheckedOptions,
  checkOptions,
  noRoom,
  optionsOf,
  Run,
  type RunOptions,
} from "./run.ts";

const encoder = new TextEncoder();

/** Who says that what an agent holds is free of a label, and why; both are in the log. */
export interface Declassification {
  /** 1 to 128 printable characters. */
  by: string;
  /** 1 to 1,000 printable characters. */
  reason: string;
}

/** What the kernel makes an agent of; `onClose` is told when that has ended. */
export interface AgentParts extends Parts {
  onClose(agent: Agent): void;
}

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
      () => this.current !== undefined,
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
    const run = new Run(this.parts, this.files, ++this.runs, options, fork);
    this.current = run;
    this.files.began(run.result);
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
    const { Lease, checkLease } = await lazy(import("../broker/lease.ts"));
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

  /**
   * Stops the run, if there is one, and ends the worker. The files are gone, but for what is kept elsewhere: mounts are
   * written for the last time.
   *
   * @throws VakError where that could not be done, once all else is closed: `files-conflict`, `files-denied`,
   *   `files-in-use`, `files-unavailable`, `log-unavailable`
   */
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
    this.files.ended();
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
    const unsaved = lost ? undefined : await this.files.saveMounts();
    host.end("the agent was closed");
    await this.files.ended();
    onClose(this);
    if (lost) return;
    await log.append({ type: "agent-close", agent: ref }).catch((error: VakError) => {
      // A log that can no longer be written has said so already, where it mattered.
      if (error.code !== "log-unavailable" && error.code !== "closed") throw error;
    });
    if (unsaved) throw unsaved;
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

/** Text that a person gives for the log. */
const isSaid = (text: unknown, length: number): text is string =>
  typeof text === "string" && text.length <= length && /^[^\p{C}]+$/u.test(text);

function toJson(input: unknown): string {
  try {
    const text = JSON.stringify(input);
    if (text !== undefined) return text;
  } catch {} // a cycle, a bigint
  throw new VakError("invalid-argument", "agent.call: the input is a value that JSON can hold.");
}
