/** The broker: the one choke point through which every call of every guest passes. It composes the stages of a call. */
import { lazy } from "../base/lazy.ts";
import type { AuditLog } from "../log/log.ts";
import type { LeasedRules, PolicyEngine } from "../policy/engine.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { Tool } from "../tool/definition.ts";
import { readInput } from "../tool/leaks.ts";
import { type Answered, answer } from "./answer.ts";
import { Approver } from "./approved.ts";
import type { Caller } from "./call.ts";
import { type Checked, check } from "./checked.ts";
import { finalise, isCurrent } from "./decided.ts";
import { perform } from "./effect.ts";
import type { Explanation, ProposedCall } from "./explain.ts";
import { withLeaks } from "./leaks.ts";
import { LIST, listTools } from "./listing.ts";
import type { OnApproval } from "./people.ts";
import { deny, refuse } from "./refusal.ts";
import { parseRequest } from "./request.ts";
import { rule } from "./ruling.ts";
import { Stores } from "./stores.ts";

/**
 * Request → Checked → Decided → Effect → Answer: each stage is made from the one before it, and none goes back. Nothing
 * else runs a tool. The intent is in the log, on disk, before the effect, and the outcome after it; the guest has its
 * answer while the outcome is written.
 */
export class Broker {
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #policy: PolicyEngine;
  readonly #log: AuditLog;
  readonly #ledger: Ledger | undefined;
  readonly #approver: Approver;
  /** What tools keep between calls. */
  readonly #stores = new Stores();

  /**
   * @param people who is asked when the policy says so, and how long they have to answer
   * @param ledger the accounts of the kernel's budgets
   */
  constructor(
    tools: ReadonlyMap<string, Tool>,
    policy: PolicyEngine,
    log: AuditLog,
    people: { onApproval?: OnApproval; approvalMs?: number } = {},
    ledger?: Ledger,
  ) {
    this.#tools = tools;
    this.#policy = policy;
    this.#log = log;
    this.#ledger = ledger;
    this.#approver = new Approver(log, people);
  }

  /**
   * Answers a call with JSON bytes no longer than `callBytes`.
   *
   * @throws VakError `log-unavailable` when the log cannot be written; the effect has then not happened, or its outcome
   *   could not be appended, and the run must stop. An appended outcome need not be on disk yet: the intent of the
   *   guest's next effect reaches the disk only after it, and a log that fails stops all runs
   */
  async handle(caller: Caller, bytes: Uint8Array): Promise<Answered> {
    const request = parseRequest(bytes);
    if ("refusal" in request) return refuse(caller, request.refusal, this.#log, this.#policyDigest);
    if (request.tool === LIST) {
      return listTools(caller, request.input, { tools: this.#tools, policy: this.#policy, log: this.#log });
    }
    const checked = await check(caller, request, this.#tools, this.#ledger);
    if ("refusal" in checked) return refuse(caller, checked.refusal, this.#log, this.#policyDigest);
    try {
      return await this.#decideAndPerform(caller, checked);
    } finally {
      checked.bill?.cancel();
    }
  }

  async #decideAndPerform(caller: Caller, given: Checked): Promise<Answered> {
    const within = { policy: this.#policy, ledger: this.#ledger };
    const askPolicy = (checked: Checked, approved = false) => rule(caller, checked, within, approved);
    const checked = given.tool.leaks ? await withLeaks(caller, given, askPolicy) : given;
    let ruling = await this.#approver.approve(caller, checked, askPolicy);
    // What the agent has read while its call was being decided counts too.
    while (!isCurrent(ruling, caller)) {
      ruling = await this.#approver.approve(caller, checked, askPolicy, ruling.notApproved);
    }
    // From here to the append of the intent or the denial nothing is awaited: no label, right or lease can change.
    const decided = finalise(caller, checked, ruling);
    if (decided.decision.decision !== "allow") return deny(caller, decided, this.#log);
    const effect = await perform(caller, decided, this.#log, this.#stores);
    return answer(caller, checked, effect, this.#log);
  }

  get #policyDigest(): string {
    return this.#policy.loaded?.digest ?? "";
  }

  /** Reads permits that will be added to the policy in force. */
  lease(permit: string): Promise<LeasedRules> {
    return this.#policy.lease(permit);
  }

  /**
   * What would be decided about a call, and by which policies.
   *
   * @throws VakError `log-unavailable` if the code that explains cannot be loaded
   */
  async explain({ agent, tool: name, input = {}, vak }: ProposedCall): Promise<Explanation> {
    // All of it is read before anything is awaited: what the page changes afterwards does not count.
    const tool = this.#tools.get(name);
    const read = tool && readInput(tool, input);
    read?.catch(() => {});
    const proposed = {
      agent: { id: agent.id ?? "", name: agent.name, program: agent.program },
      ...{ tool: name, labels: [...(agent.labels ?? [])], vak: structuredClone(vak), policyDigest: this.#policyDigest },
    };
    const { explain } = await lazy(import("./explain.ts"));
    return explain(proposed, read, { policy: this.#policy, ledger: this.#ledger });
  }
}
