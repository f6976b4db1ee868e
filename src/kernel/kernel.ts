/** The kernel: the authority on the main thread, which owns the policy, the log, the tools and the agents. */

import { Broker } from "../broker/broker.ts";
import { VakError } from "../errors.ts";
import type { AuditLog } from "../log/log.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import type { Spare } from "../worker/spare.ts";
import type { Agent } from "./agent.ts";
import { fork } from "./fork.ts";
import type { KernelLog } from "./kernel-log.ts";
import type { CheckedKernelOptions, ForkOptions, SpawnOptions } from "./options.ts";
import { type KernelPolicy, kernelPolicy } from "./policy.ts";
import { Programs } from "./program.ts";
import type { Run } from "./run.ts";
import { type SpawnContext, spawn } from "./spawn.ts";

/** What a kernel is made of. */
interface KernelParts extends Omit<CheckedKernelOptions, "place"> {
  engine: PolicyEngine;
  log: AuditLog;
  /** Its place is the default of the kernel's agents. */
  spare: Spare;
  ledger: Ledger | undefined;
}

/** Made by `createKernel`. */
export class Kernel {
  readonly policy: KernelPolicy;
  readonly #engine: PolicyEngine;
  readonly #shared: SpawnContext;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor({ tools, engine, log, spare, people, ledger, onFull }: KernelParts) {
    const broker = new Broker(tools, engine, log, people, ledger);
    const agents = new Set<Agent>();
    this.#engine = engine;
    this.#shared = { log, broker, tools, agents, programs: new Programs(), spare, onFull };
    this.policy = kernelPolicy(engine, broker, log);
    log.failed.then((error) => {
      if (error.code !== "closed") for (const agent of agents) agent.logFailed();
    });
  }

  /** The log. */
  get log(): KernelLog {
    return this.#shared.log;
  }

  /**
   * Makes an agent of a program: admits it, compiles it, starts a worker for it.
   *
   * @throws VakError `invalid-module` naming what is not admitted and where, `invalid-limit`, `invalid-argument`,
   *   `unsupported`, `aborted`, `log-unavailable`, `closed`; for its mounts `files-denied`, `files-in-use`,
   *   `files-unavailable`
   */
  async spawn(options: SpawnOptions): Promise<Agent> {
    return this.#spawn(options);
  }

  /**
   * Continues a recorded run from one of its calls, as a run of a new agent: up to there the program gets the recorded
   * answers, and from that call on it asks this kernel: its policy, its tools, its log. The agent has the recorded
   * name, limits and seed. The log says where it comes from, and holds what the program asks from there on.
   *
   * @param point made by `forkPoint` of `vak/replay`
   * @throws VakError as {@link spawn}; `invalid-argument` when the program is not the recorded one; `unsupported` when
   *   it was recorded with another version of the meter or sandbox; `invalid-bundle`
   * @example
   * const point = await forkPoint(bundle, 1, { call: 7 });
   * const { agent, run } = await kernel.fork(point, { program });
   */
  async fork(point: ForkPoint, options: ForkOptions): Promise<{ agent: Agent; run: Run }> {
    return fork((recorded, mounts) => this.#spawn(recorded, mounts), point, options);
  }

  /**
   * Closes every agent, then the log. What was acknowledged stays.
   *
   * @throws VakError as {@link Agent.close}, once all is closed
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #spawn(options: SpawnOptions, recorded?: ForkPoint["mounts"]): Promise<Agent> {
    // Awaited only once the program is needed: until then its failure must not count as unhandled.
    if (options.program instanceof Promise) options.program.catch(() => {});
    if (this.#closing) throw new VakError("closed", "The kernel was closed; make another.");
    const { log } = this.#shared;
    if (!log.writing) await log.checkpoint(); // throws the reason why it cannot be written
    return spawn(this.#shared, options, recorded);
  }

  async #close(): Promise<void> {
    const { spare, agents, log } = this.#shared;
    await spare.close("the kernel was closed");
    const closed = await Promise.allSettled([...agents].map((agent) => agent.close()));
    this.#engine.close();
    await log.close();
    for (const it of closed) if (it.status === "rejected") throw it.reason;
  }
}
