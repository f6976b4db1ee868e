import { type Commitment, commitValue } from "../audit/value.ts";
import { openValue } from "../audit/value-opening.ts";
import type { AgentRef } from "../audit/vocabulary/common.ts";
import { canonicalBytes, canonicalJson } from "../base/canonical.ts";
import { clip } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { AuditLog } from "../log/log.ts";
import type { Bill, Ledger, Payer } from "../policy/budget.ts";
import { callDigest } from "../policy/digest.ts";
import type {
  Decision,
  DenyReason,
  ExplainedPolicy,
  LeasedRules,
  PolicyEngine,
  PolicyRequest,
} from "../policy/engine.ts";
import { checkOutput, type JsonSchema, leaksIn, parseInput, readInput, type Tool } from "../tool/tool.ts";
import type { Approvals, OnApproval, Refused, Verdict } from "./approval.ts";
import { type Labels, Stores } from "./labels.ts";
import type { Lease } from "./lease.ts";
import type { Rights } from "./rights.ts";

/** A call as it reaches the broker: who asks, and within what. The request itself is still bytes. */
export interface Caller {
  agent: AgentRef;
  run: string;
  /** The call's number within its run, from 1. */
  call: number;
  /** Bytes of JSON that the answer may have. */
  callBytes: number;
  /** Aborts when the run ends; nobody waits for the answer then. */
  signal: AbortSignal;
  /** What the agent has read. */
  labels: Labels;
  /** Lets the run's deadline stand still until what it gives is called. */
  hold(): () => void;
  /** Which tools the agent may ask for; all unless given. */
  rights?: Pick<Rights, "has" | "revoked">;
  /** What it has besides the policy, for its tasks. */
  leases?: Iterable<Lease>;
}

/** What a guest reads when its call did not succeed; `error.code` in the answer. */
export type CallErrorCode =
  | "malformed" // the request is not JSON of the form {"tool", "input"}
  | "unknown-tool"
  | "invalid-input" // the input does not fit the tool's schema
  | "denied" // by policy
  | "tool-error" // the tool threw, or answered what is not JSON
  | "too-large" // the request or the answer is longer than `callBytes`
  | "aborted"; // the run ended first

/** What the guest is to read. */
export interface Answered {
  bytes: Uint8Array;
  /** The `seq` of the outcome beside which it is kept, if there is one. */
  kept?: number;
}

/** A call that nobody makes, to be explained. */
export interface ProposedCall {
  /** Who would make it: an agent, or what policies see of one. */
  agent: { readonly name: string; readonly program: string; readonly id?: string; readonly labels?: readonly string[] };
  tool: string;
  input?: unknown;
  /** What the kernel would know: the clock is now, the labels are the agent's, and the rest zero, unless given. */
  vak?: Partial<Omit<PolicyRequest["vak"], "callDigest">>;
}

export interface Explanation extends Omit<Decision, "reason" | "annotations"> {
  /** Why it would be denied: as {@link Decision}, or that it would not even be decided. */
  reason?: DenyReason | "unknown-tool" | "invalid-input";
  /** The policies that determine it. */
  because: ExplainedPolicy[];
}

/** A call whose input was found good. */
interface Asked {
  /** The guest's, frozen: what is decided on and logged. */
  input: JsonObject;
  /** What the tool is given. */
  argument: unknown;
  commitment: Commitment;
  request: Uint8Array;
  bill: Bill | undefined;
  /** Kinds of what was found in it that should not leave, or why that is not known; undefined where nobody looks. */
  leaks?: readonly string[] | Error;
  /** Kinds of what was taken out of the guest's input. */
  redacted?: readonly string[];
}

/** A decision, and what the kernel told the policy for it. */
interface Decided {
  decision: Decision;
  /** By which it was allowed, where the policy alone would not have. */
  lease?: Lease;
  vak: PolicyRequest["vak"];
}

/** What became of an allowed call, and how the answer is labelled. */
interface Effect {
  answer: Answer;
  status?: "unknown";
  labels: readonly string[];
}

type JsonObject = { readonly [field: string]: unknown };
type Answer = { ok: unknown } | { error: { code: CallErrorCode; message: string } };

/** The kernel's own: what a guest asks for in the place of a tool, to be told of its tools. */
const LIST = "vak.tools";

/** ms that a person has to answer, unless the kernel says otherwise. */
const APPROVAL_MS = 120_000;

/** Longest message of an error, and longest name of a tool that was asked for, UTF-16 units. */
const MAX_MESSAGE = 1000;
const MAX_NAME = 128;

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/**
 * The one choke point. Every call of every guest passes `handle`, and nothing else runs a tool: decide, then the
 * intent into the log, on disk, then the effect, then its outcome into the log, and the answer while that is written.
 */
export class Broker {
  private readonly tools: ReadonlyMap<string, Tool>;
  private readonly policy: PolicyEngine;
  private readonly log: AuditLog;
  private readonly people: { onApproval?: OnApproval; approvalMs?: number };
  private readonly ledger: Ledger | undefined;
  /** What tools keep between calls. */
  private readonly stores = new Stores();
  private approvals: Promise<Approvals> | undefined;

  /**
   * @param people who is asked where the policy says so, and for how long
   * @param ledger the accounts of the kernel's budgets
   */
  constructor(
    tools: ReadonlyMap<string, Tool>,
    policy: PolicyEngine,
    log: AuditLog,
    people: { onApproval?: OnApproval; approvalMs?: number } = {},
    ledger?: Ledger,
  ) {
    this.tools = tools;
    this.policy = policy;
    this.log = log;
    this.people = people;
    this.ledger = ledger;
  }

  /**
   * Answers a call with JSON bytes no longer than `callBytes`.
   *
   * @throws VakError `log-unavailable` when the log cannot be written; the effect has then not happened, or its outcome
   *   could not be appended, and the run must stop. An outcome that is appended need not be on disk yet: whatever the
   *   guest does next that has an effect is on disk only behind it, and a log that fails stops all runs
   */
  async handle(caller: Caller, request: Uint8Array): Promise<Answered> {
    const parsed = parseRequest(request);
    if ("error" in parsed) return this.refuse(caller, { code: "malformed", message: parsed.error });
    if (parsed.tool === LIST) return this.list(caller, parsed.input);
    const tool = this.tools.get(parsed.tool);
    if (!tool) {
      const message = `There is no tool ${JSON.stringify(parsed.tool)}.`;
      return this.refuse(caller, { code: "unknown-tool", message, tool: parsed.tool });
    }
    const checked = await parseInput(tool, parsed.input);
    if (!checked.ok) return this.refuse(caller, { code: "invalid-input", message: checked.message, tool: tool.name });

    const { input } = checked;
    // Made before the decision, so that what is decided, approved and logged is bound to one and the same commitment.
    const commitment = commitValue("input", input, await secretsIn(tool.inputSchema, input));
    const bill = this.openBill(caller, tool, checked.argument, request);
    try {
      const asked = { input, argument: checked.argument, commitment, request, bill };
      return await this.decided(caller, tool, tool.leaks ? await this.withLeaks(caller, tool, asked) : asked);
    } finally {
      bill?.cancel();
    }
  }

  /** Tells a guest which tools it could ever be allowed to call, once the log has that it was told. */
  private async list(caller: Caller, input: unknown): Promise<{ bytes: Uint8Array }> {
    if (JSON.stringify(input) !== "{}") {
      return this.refuse(caller, { code: "invalid-input", message: `${LIST} takes no input.`, tool: LIST });
    }
    for (;;) {
      const policyDigest = this.policy.loaded?.digest ?? "";
      let names: Set<string>;
      try {
        names = new Set(await this.policy.callable(caller.agent));
        for (const lease of caller.leases ?? []) for (const name of await lease.callable(policyDigest)) names.add(name);
      } catch (error) {
        const reason = "policy-unavailable";
        const told = { code: "denied", message: DENIALS[reason], tool: LIST } as const;
        return this.refuse(caller, told, { reason, errors: [messageOf(error)] });
      }
      if ((this.policy.loaded?.digest ?? "") !== policyDigest) continue; // what was found is of another policy
      // In the turn in which it is logged: nobody is told of what was taken away before.
      const has = ({ name }: Tool) => names.has(name) && caller.rights?.has(name) !== false;
      const tools = [...this.tools.values()].filter(has).map(describedTool);
      const { bytes, sent } = this.answer(caller, { ok: tools });
      const told = "ok" in sent ? tools.map(({ name }) => name) : [];
      await this.log.append({ type: "tools-listed", ...position(caller), resource: LIST, tools: told, policyDigest });
      return { bytes };
    }
  }

  /**
   * Has the tool look for what should not leave. Where only such forbids as would have it taken out deny the call, the
   * call is asked about without it, as if the guest had asked so: what is decided, logged and done is one input.
   */
  private async withLeaks(caller: Caller, tool: Tool, asked: Asked): Promise<Asked> {
    try {
      const { kinds: leaks, redacted } = await leaksIn(tool, asked.argument, caller);
      const found = { ...asked, leaks };
      if (leaks.length === 0 || redacted === undefined) return found;
      if (!wantsRedaction((await this.decide(caller, tool, found, false)).decision)) return found;
      const checked = await parseInput(tool, redacted);
      if (!checked.ok) return found;
      const { input, argument } = checked;
      const commitment = commitValue("input", input, await secretsIn(tool.inputSchema, input));
      const again = await leaksIn(tool, argument, caller);
      return { ...asked, input, argument, commitment, leaks: again.kinds, redacted: leaks };
    } catch (error) {
      return { ...asked, leaks: new Error(messageOf(error)) };
    }
  }

  /** Decides, and does what was decided. */
  private async decided(caller: Caller, tool: Tool, asked: Asked): Promise<Answered> {
    const { argument, commitment, request, bill } = asked;
    let last = await this.decideWithPeople(caller, tool, asked);
    // What came to the agent while it was decided counts.
    while (last.vak.labels !== caller.labels.list) last = await this.decideWithPeople(caller, tool, asked, last.no);
    const { decision: made, vak, approval, lease } = last;
    // Looked at in the turn in which the intent is appended: what is taken away before it is not there any more.
    const decision = withRights(caller, tool, lease && !lease.live ? { ...made, ...NO_PERMIT } : made);
    const { callDigest, ...facts } = vak;
    const call = { ...position(caller), ...actionOf(tool), callDigest };
    const { policies, policyDigest, shadow } = decision;
    const decided = {
      policies,
      policyDigest,
      facts,
      ...(approval !== undefined && { approval }),
      ...(asked.redacted && { redacted: [...asked.redacted] }),
      ...(shadow && { shadow }),
    };
    if (decision.decision !== "allow") {
      const { reason = "policy-unavailable", errors } = decision;
      const denial = { type: "denial", ...call, ...decided, decision: "deny", reason, errors } as const;
      await this.log.append(denial, { commitment });
      return {
        bytes: this.answer(caller, { error: { code: "denied", message: denialMessage(decision, reason) } }).bytes,
      };
    }

    const intent = {
      type: "intent",
      ...call,
      ...decided,
      decision: "allow",
      ...(lease && { lease: lease.seq }),
    } as const;
    // Before the effect: whoever takes something out meanwhile may have it of this call.
    this.stores.join(tool.labels?.keeps, vak.labels);
    const { seq } = await this.log.append(intent, { commitment });
    const { answer, status, labels } = withRoom(
      caller.labels,
      await this.effect(caller, tool, argument, bill, vak.labels),
    );
    const { bytes, sent } = this.answer(caller, answer);
    const counted = { calls: 1, bytes: request.byteLength + bytes.byteLength };
    const cost = bill && { cost: bill.settle(counted, status !== "unknown") };
    // In one turn with the entry, and before the guest has the answer.
    caller.labels.join(labels);
    const labelled = labels.length > 0 && { labels: [...labels] };
    const outcome = { type: "outcome", ...position(caller), intentOf: seq, ...cost, ...labelled } as const;
    if (status === "unknown") {
      this.log.post({ ...outcome, status, error: null });
      return { bytes };
    }
    const kept =
      "ok" in sent
        ? this.log.post({ ...outcome, status: "ok", error: null }, { output: sent.ok })
        : this.log.post({ ...outcome, status: "error", error: sent.error.code }, { output: sent });
    // An answer that does not even fit as an error is not what is kept.
    return bytes.byteLength > 0 ? { bytes, kept } : { bytes };
  }

  /**
   * The decision; where the policy asks for a person's approval, after it was given or not.
   *
   * @param no what a person has said of this call already: it stands, and nobody is asked again
   */
  private async decideWithPeople(
    caller: Caller,
    tool: Tool,
    given: Asked,
    no?: Refused,
  ): Promise<Decided & { approval?: number; no?: Refused }> {
    const { input, commitment } = given;
    const decide = (approved: boolean) => this.decide(caller, tool, given, approved);
    for (;;) {
      const asked = await decide(false);
      if (asked.decision.decision !== "ask") return asked;
      const { policies, policyDigest, annotations = {}, shadow } = asked.decision;
      const call = { ...position(caller), ...actionOf(tool), callDigest: asked.vak.callDigest, policies, policyDigest };
      const { name, title, description, annotations: hints } = tool;
      const described = {
        name,
        ...(title !== undefined && { title }),
        description,
        ...(hints && { annotations: hints }),
      };
      const shown = {
        tool: described,
        input: openValue(commitment.file, "input", commitment.digest).value,
        labels: asked.vak.labels,
        annotations,
      };
      const key = canonicalJson({ input, labels: asked.vak.labels, policyDigest, tool: name });
      const approvals = await this.loadApprovals().catch(messageOf);
      const verdict: Verdict =
        no ??
        (typeof approvals === "string"
          ? { granted: false, reason: "approval-unavailable", message: approvals }
          : await approvals.ask(call, commitment.digest, shown, key, caller));
      if (!verdict.granted) {
        const { reason, approval, message } = verdict;
        const errors = message === undefined ? [] : [message];
        const decision: Decision = {
          decision: "deny",
          reason,
          policies,
          errors,
          policyDigest,
          annotations,
          ...(shadow && { shadow }),
        };
        return { decision, vak: asked.vak, no: verdict, ...(approval !== undefined && { approval }) };
      }
      // Decided again, with the approval: a forbid may have come to match while the person thought.
      const again = await decide(true);
      const same = again.decision.policyDigest === policyDigest && again.vak.labels === asked.vak.labels;
      if (same) return { ...again, approval: verdict.approval };
      // It was given under another policy, or for an agent that had read less, and counts for nothing now.
    }
  }

  /** Sets aside what the call may cost, where there are budgets. */
  private openBill(caller: Caller, tool: Tool, argument: unknown, request: Uint8Array): Bill | undefined {
    const bytes = request.byteLength + caller.callBytes;
    const { cost } = tool;
    return this.ledger?.bill(payer(caller, tool), { calls: 1, bytes }, cost && (() => cost(argument)));
  }

  private loadApprovals(): Promise<Approvals> {
    const { onApproval, approvalMs = APPROVAL_MS } = this.people;
    this.approvals ??= import("./approval.ts").then(
      ({ Approvals }) => new Approvals(this.log, onApproval, approvalMs),
      (error) => {
        this.approvals = undefined; // so that the next call tries again
        throw error;
      },
    );
    return this.approvals;
  }

  /** The decision, and what the kernel told the policy; the digest in it binds it to this call and to the policy. */
  private async decide(
    caller: Caller,
    tool: Tool,
    { input, commitment, bill, leaks }: Asked,
    approved: boolean,
  ): Promise<Decided> {
    const { agent, call } = caller;
    for (;;) {
      const labels = caller.labels.list;
      const policyDigest = this.policy.loaded?.digest ?? "";
      const digest = callDigest(agent, tool.name, commitment.digest, policyDigest);
      const none: Decision = { decision: "deny", policies: [], reason: "not-granted", errors: [], policyDigest };
      const budget = this.ledger && { budget: this.ledger.states(payer(caller, tool)) };
      const found = Array.isArray(leaks) && { leaks };
      const vak = { callDigest: digest, now: Date.now(), calls: call - 1, approved, labels, ...found, ...budget };
      if (caller.rights?.has(tool.name) === false) return { decision: withRights(caller, tool, none), vak };
      try {
        if (leaks instanceof Error) throw leaks;
        const decision = await this.policy.decide({ agent, tool: tool.name, input, vak });
        // Where another policy came into force in between, ask again: the digest must name the one that decided.
        if (decision.policyDigest !== policyDigest) continue;
        const own = strict(decision);
        const leased = approved ? undefined : byLease(caller, own, { agent, tool: tool.name, input, vak });
        return leased
          ? { ...leased, decision: affordable(leased.decision, bill), vak }
          : { decision: affordable(own, bill), vak };
      } catch (error) {
        const errors = [clip(String(error), MAX_MESSAGE)];
        const reason = "policy-unavailable";
        return { decision: { decision: "deny", policies: [], reason, errors, policyDigest }, vak };
      }
    }
  }

  /** Reads permits that are to be added to the policy in force. */
  lease(permit: string): Promise<LeasedRules> {
    return this.policy.lease(permit);
  }

  /** What would be decided about a call, and by which policies. */
  async explain({ agent, tool: name, input = {}, vak }: ProposedCall): Promise<Explanation> {
    const policyDigest = this.policy.loaded?.digest ?? "";
    const tool = this.tools.get(name);
    const checked = tool && (await readInput(tool, input));
    if (!checked?.ok) {
      const [reason, message] = checked
        ? (["invalid-input", checked.message] as const)
        : (["unknown-tool", name] as const);
      return { decision: "deny", reason, policies: [], because: [], errors: [message], policyDigest };
    }
    const { id = "", program, labels = [] } = agent;
    const budget = this.ledger && { budget: { ...this.ledger.states(), ...vak?.budget } };
    const found = checked.leaks && { leaks: checked.leaks };
    const request = {
      agent: { id, name: agent.name, program },
      tool: name,
      input: checked.input,
      vak: { now: Date.now(), calls: 0, approved: false, labels, ...found, ...vak, callDigest: "", ...budget },
    };
    const { annotations: _, ...decision } = await this.policy.explain(request);
    return decision;
  }

  /** Runs the tool. What it does after the run has ended is nobody's to know: the outcome is then unknown. */
  private async effect(
    caller: Caller,
    tool: Tool,
    argument: unknown,
    bill: Bill | undefined,
    read: readonly string[],
  ): Promise<Effect> {
    const { signal } = caller;
    const aborted: Answer = { error: { code: "aborted", message: "The run has ended." } };
    if (signal.aborted) {
      bill?.cancel();
      return { answer: aborted, labels: [] };
    }
    const gone = Promise.withResolvers<Effect>();
    let answered = false;
    let noted: readonly string[] = [];
    const label = (labels: readonly string[]) => {
      const more = checkLabels(labels, "an answer");
      if (answered) throw new VakError("invalid-argument", "label: the call was answered already.");
      noted = joinLabels(noted, more);
    };
    const onAbort = () => gone.resolve({ answer: aborted, status: "unknown", labels: [] });
    signal.addEventListener("abort", onAbort, { once: true });
    const charge = (unit: string, amount: number) => bill?.charge(unit, amount);
    const context = { signal, agent: caller.agent, run: caller.run, call: caller.call, charge, labels: read, label };
    const done = Promise.resolve()
      .then(() => tool.execute(argument, context))
      .then(
        (ok): Promise<Answer> => checkedAnswer(tool, ok),
        (error): Answer => ({ error: { code: "tool-error", message: messageOf(error) } }),
      )
      .then((answer): Effect => {
        answered = true;
        const { returns = [], keeps } = tool.labels ?? {};
        return { answer, labels: joinLabels(returns, noted, this.stores.of(keeps)) };
      });
    try {
      return await Promise.race([done, gone.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Puts into the log that a request was not even decided, and why. */
  private async refuse(
    caller: Caller,
    { code, message, tool = "" }: { code: CallErrorCode; message: string; tool?: string },
    why: { reason: string; errors: string[] } = { reason: code, errors: [clip(message, MAX_MESSAGE)] },
  ): Promise<{ bytes: Uint8Array }> {
    await this.log.append({
      type: "denial",
      ...position(caller),
      action: `call:${clip(tool, MAX_NAME)}`,
      resource: clip(tool, MAX_NAME),
      callDigest: null,
      decision: "deny",
      reason: why.reason,
      policies: [],
      errors: why.errors,
      policyDigest: this.policy.loaded?.digest ?? "",
    });
    return { bytes: this.answer(caller, { error: { code, message } }).bytes };
  }

  /**
   * The answer as the guest reads it: JSON, and no longer than the caller allows. What a tool gave is spelled canonically,
   * so that a replay can make the same bytes of the value that is kept.
   */
  private answer({ callBytes }: Caller, answer: Answer): { bytes: Uint8Array; sent: Answer } {
    const json = "ok" in answer ? `{"ok":${canonicalJson(answer.ok)}}` : JSON.stringify(answer);
    const bytes = encoder.encode(json);
    if (bytes.byteLength <= callBytes) return { bytes, sent: answer };
    const sent: Answer = { error: { code: "too-large", message: "The answer is longer than the limit callBytes." } };
    const short = encoder.encode(JSON.stringify(sent));
    // Where not even this fits, an empty answer: callBytes is the harder promise.
    return { bytes: short.byteLength <= callBytes ? short : new Uint8Array(), sent };
  }
}

const DENIALS: Readonly<Record<DenyReason, string>> = {
  forbidden: "A policy forbids this call.",
  "no-permit": "No policy permits this call.",
  "policy-error": "A policy could not be evaluated, so the call is denied.",
  "policy-unavailable": "No policy could decide this call, so it is denied.",
  "label-not-accepted": "The tool does not accept what this agent has read.",
  "not-granted": "The agent was given no right to this tool.",
  revoked: "The agent's rights were taken away.",
  "budget-exceeded": "The call may cost more than there is left to spend.",
  "approval-refused": "A person was asked about this call, and said no.",
  "approval-expired": "A person was asked about this call, and did not answer in time.",
  "approval-withdrawn": "The run ended before a person answered.",
  "approval-unavailable": "This call needs a person's approval, and nobody could be asked.",
};

/** What a program is told of a denial. Of what a policy says of itself, `@advice` is meant for it. */
function denialMessage({ policies, annotations = {} }: Decision, reason: DenyReason): string {
  const advice = policies.map((id) => (Object.hasOwn(annotations, id) ? annotations[id]!.advice : undefined));
  return clip([DENIALS[reason], ...advice.filter(Boolean)].join(" "), MAX_MESSAGE);
}

/** An allow, or an ask, is believed only where it is clean: of a policy, by a policy, and without an error on the way. */
function strict({ decision, policies, reason, errors, policyDigest, annotations, shadow }: Decision): Decision {
  const told = {
    ...(annotations && { annotations }),
    ...(shadow && { shadow: { ...shadow, errors: bounded(shadow.errors) } }),
  };
  const clean =
    (decision === "allow" || decision === "ask") && policies.length > 0 && errors.length === 0 && policyDigest !== "";
  if (clean) return { ...told, decision, policies: [...policies], errors: [], policyDigest };
  return {
    ...told,
    decision: "deny",
    policies: [...(policies ?? [])],
    reason: reason ?? "policy-unavailable",
    errors: bounded(errors ?? []),
    policyDigest,
  };
}

const bounded = (errors: readonly string[]): string[] => errors.slice(0, 10).map((error) => clip(error, MAX_MESSAGE));

const marked = new WeakMap<JsonSchema, boolean>();

/** JSON pointers to the secrets in an input. Most schemas, which are frozen, mark none, and are asked at every call. */
async function secretsIn(schema: JsonSchema, input: unknown): Promise<string[]> {
  if (!marked.has(schema)) marked.set(schema, JSON.stringify(schema).includes('"writeOnly":true'));
  return marked.get(schema) ? (await import("../tool/secrets.ts")).secretsOf(schema, input) : [];
}

/** Whether nothing but forbids denies that would rather have it taken out: those with `@redact`. */
function wantsRedaction({ reason, policies, annotations = {} }: Decision): boolean {
  const redacts = (id: string) => Object.hasOwn(annotations, id) && Object.hasOwn(annotations[id]!, "redact");
  return reason === "forbidden" && policies.length > 0 && policies.every(redacts);
}

/** Whose budgets a call is charged to: the agent by its one reference, the run by its one signal. */
const payer = ({ agent, signal }: Caller, { name }: Tool): Payer => ({ agent, run: signal, tool: name });

const NO_PERMIT = { decision: "deny", reason: "no-permit", policies: [] } as const satisfies Partial<Decision>;

/** Where nothing but a permit is missing, a lease of the agent may have it; then nobody needs to be asked. */
function byLease(
  { leases = [] }: Caller,
  own: Decision,
  request: PolicyRequest,
): Pick<Decided, "decision" | "lease"> | undefined {
  if (own.reason !== "no-permit" && own.decision !== "ask") return undefined;
  for (const lease of leases) {
    const allowed = lease.allows(request, own.policyDigest);
    const decision = allowed && strict(allowed);
    if (decision?.decision === "allow") return { decision, lease };
  }
  return undefined;
}

/** Nothing is allowed that the agent has no right to. */
function withRights({ rights }: Caller, { name }: Tool, decision: Decision): Decision {
  if (rights === undefined || rights.has(name)) return decision;
  const reason = rights.revoked ? "revoked" : "not-granted";
  return { decision: "deny", policies: [], reason, errors: [], policyDigest: decision.policyDigest };
}

/** Nothing is allowed that could not be paid, and nobody is asked about it. */
function affordable(decision: Decision, bill: Bill | undefined): Decision {
  if (bill?.exceeded === undefined || decision.decision === "deny") return decision;
  const errors = [clip(bill.exceeded, MAX_MESSAGE)];
  return { ...decision, decision: "deny", reason: "budget-exceeded", policies: [], errors };
}

/** A tool as MCP describes it. */
function describedTool({ name, title, description, inputSchema, outputSchema, annotations }: Tool) {
  return {
    ...{ name, description, inputSchema },
    ...(title !== undefined && { title }),
    ...(outputSchema && { outputSchema }),
    ...(annotations && { annotations }),
  };
}

/** An answer that would give the agent more labels than it can have does not reach it. */
function withRoom(held: Labels, effect: Effect): Effect {
  try {
    held.joined(effect.labels);
    return effect;
  } catch (error) {
    return { ...effect, answer: { error: { code: "tool-error", message: messageOf(error) } }, labels: [] };
  }
}

const actionOf = ({ name }: Tool) => ({ action: `call:${name}`, resource: name });

const position = ({ agent, run, call }: Caller) => ({ agent, run, call });

function parseRequest(bytes: Uint8Array): { tool: string; input: unknown } | { error: string } {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return { error: "The request is not JSON in UTF-8." };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { error: "The request is not an object." };
  }
  const { tool, input = {}, ...rest } = value as Record<string, unknown>;
  if (typeof tool !== "string") return { error: 'The request has no "tool".' };
  if (!tool.isWellFormed()) return { error: "The tool's name is not well-formed." };
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) return { error: 'A request has a "tool" and an "input", and nothing else.' };
  return { tool, input };
}

/** What the tool gave, as the JSON that the guest will read and the log commit to. */
async function checkedAnswer(tool: Tool, value: unknown): Promise<Answer> {
  let ok: unknown;
  try {
    ok = JSON.parse(JSON.stringify(value ?? null));
    canonicalBytes(ok);
  } catch {
    return { error: { code: "tool-error", message: "The tool answered with what JSON cannot hold." } };
  }
  const wrong = await checkOutput(tool, ok);
  return wrong === undefined ? { ok } : { error: { code: "tool-error", message: `The tool's answer: ${wrong}` } };
}

const messageOf = (error: unknown): string => clip(error instanceof Error ? error.message : String(error), MAX_MESSAGE);
