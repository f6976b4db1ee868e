/** A lease: permits that an agent has for a task, besides the policy. */
import type { AgentRef } from "../audit/vocabulary/common.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { AuditLog } from "../log/log.ts";
import type { Decision, LeasedRules, PolicyRequest } from "../policy/engine.ts";

export interface LeaseOptions {
  /** Cedar permits that this agent has besides the policy; at most 16 KiB. */
  permit: string;
  /**
   * The end of the task: a promise that settles then, or a time in ms since 1970. Without it, the lease lasts until
   * `end` is called or the agent is closed.
   */
  until?: PromiseLike<unknown> | number;
}

/** Longest that a timer can run, ms. */
const MAX_TIMER = 2 ** 31 - 1;

/** Bytes of Cedar text. */
const MAX_PERMIT = 16_384;

/** Rights that an agent has for a task, until the task ends, the policy is replaced, or the agent is closed. */
export class Lease {
  /** `seq` of the entry that gives it. */
  readonly seq: number;
  readonly #agent: AgentRef;
  readonly #log: AuditLog;
  readonly #rules: LeasedRules;
  readonly #until: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** @internal Leases are made by `agent.lease`. */
  constructor(seq: number, agent: AgentRef, log: AuditLog, rules: LeasedRules, until: LeaseOptions["until"]) {
    this.seq = seq;
    this.#agent = agent;
    this.#log = log;
    this.#rules = rules;
    this.#until = typeof until === "number" ? until : Number.POSITIVE_INFINITY;
    const end = () => void this.end().catch(() => {}); // a log that failed has already said so
    if (typeof until === "number") this.#timer = setTimeout(end, Math.min(Math.max(0, until - Date.now()), MAX_TIMER));
    else until?.then(end, end);
  }

  /** Takes the rights away, from the next call on. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.drop();
    // In the same turn: no intent that relies on the lease can come after the entry.
    await this.#log.append({ type: "lease-end", agent: this.#agent, lease: this.seq });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  /** @internal Ends it without an entry: the agent is closed, and the log says that. */
  drop(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  /** @internal */
  get live(): boolean {
    return !this.#ended && Date.now() < this.#until;
  }

  /** @internal Tools that its agent could be allowed to call while it lasts, under the policy in force. */
  async callable(policyDigest: string): Promise<ReadonlySet<string>> {
    const of = () => this.live && this.#rules.policyDigest === policyDigest;
    const names = of() ? await this.#rules.callable(this.#agent) : new Set<string>();
    return of() ? names : new Set();
  }

  /** @internal A clean allow under the policy in force, or undefined. */
  allows(request: PolicyRequest, policyDigest: string): Decision | undefined {
    if (!this.live || this.#rules.policyDigest !== policyDigest) return undefined;
    try {
      const decision = this.#rules.decide(request);
      return decision.decision === "allow" ? decision : undefined;
    } catch {
      this.drop(); // Cedar gave up on it
      return undefined;
    }
  }
}

/** @throws VakError `invalid-argument` */
export function checkLease({ permit, until }: LeaseOptions): LeaseOptions {
  if (typeof permit !== "string" || toUtf8(permit).length > MAX_PERMIT) {
    throw new VakError("invalid-argument", "A lease's permit must be Cedar text of at most 16,384 bytes.");
  }
  const time = typeof until === "number" && Number.isSafeInteger(until) && until > Date.now();
  if (until !== undefined && !time && typeof (until as PromiseLike<unknown>)?.then !== "function") {
    const message = "A lease's until must be a promise, or a time in the future in ms since 1970.";
    throw new VakError("invalid-argument", message);
  }
  return { permit, ...(until !== undefined && { until }) };
}
