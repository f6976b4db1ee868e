/** People: how they are asked to approve a call, and how their answers are kept and logged. */

import { openValue } from "../audit/value-opening.ts";
import type { Approval } from "../audit/vocabulary/call.ts";
import { canonicalJson } from "../base/canonical.ts";
import { clip } from "../base/clip.ts";
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import type { AuditLog } from "../log/log.ts";
import type { Annotations, DenyReason } from "../policy/engine.ts";
import type { ToolAnnotations } from "../tool/definition.ts";
import { actionOf, type Caller, position } from "./call.ts";
import type { Checked } from "./checked.ts";
import type { Ruling } from "./ruling.ts";

/** What a person is asked: may this agent make this one call? */
export interface ApprovalRequest {
  readonly agent: { readonly id: string; readonly name: string; readonly program: string };
  readonly run: string;
  /** The call's number within its run, from 1. */
  readonly call: number;
  readonly tool: {
    readonly name: string;
    readonly title?: string;
    readonly description: string;
    readonly annotations?: ToolAnnotations;
  };
  /** What the tool would be given, with null in place of each secret. */
  readonly input: unknown;
  /** What the agent has read, and so where the input may come from. */
  readonly labels: readonly string[];
  /** Ids of the policies that would allow the call if it were approved, and their annotations. */
  readonly policies: readonly string[];
  readonly annotations: Annotations;
  /** Binds the answer to agent, tool, input and policy, hex. */
  readonly callDigest: string;
  /** The call is refused if it is not answered by then, ms since 1970. */
  readonly expires: number;
}

export interface ApprovalAnswer {
  approve: boolean;
  /** Who answered; 1 to 128 printable characters, for the log. */
  by: string;
  /**
   * `call`, the default: this one call. `run`: also each later call of this run with the same tool and exactly the same
   * input, as long as the policy and the agent's labels stay the same.
   */
  for?: "call" | "run";
}

/**
 * Asks a person. Anything but an answer in time means no; so does throwing.
 *
 * @param options.signal fires when an answer is no longer needed: it is too late, or the run has ended
 */
export type OnApproval = (
  request: ApprovalRequest,
  options: { signal: AbortSignal },
) => ApprovalAnswer | Promise<ApprovalAnswer>;

/** How the person answered: `approval` is the `seq` of the entry with the answer. */
export type Verdict = { granted: true; approval: number } | NotApproved;

/** Why a call that needs an approval has none: denied by a person, late, withdrawn, or nobody could be asked. */
export interface NotApproved {
  granted: false;
  reason: DenyReason;
  approval?: number;
  message?: string;
}

/** Asks people, and remembers what they approved for a whole run. */
export class Approvals {
  readonly #log: AuditLog;
  readonly #onApproval: OnApproval | undefined;
  readonly #ms: number;
  /** What was approved for a whole run, by the run's signal: the `seq` of the approval by the key of its calls. */
  readonly #standing = new WeakMap<AbortSignal, Map<string, number>>();

  /** @param ms that a person has to answer; no answer by then means no */
  constructor(log: AuditLog, onApproval: OnApproval | undefined, ms: number) {
    this.#log = log;
    this.#onApproval = onApproval;
    this.#ms = ms;
  }

  /**
   * Asks a person whether the call may be made. The answer is in the log before this resolves. While the person thinks,
   * the deadline of the caller's run is paused.
   *
   * @throws VakError `log-unavailable`
   */
  async ask(caller: Caller, { tool, input, commitment }: Checked, { decision, vak }: Ruling): Promise<Verdict> {
    const { signal } = caller;
    const { labels, callDigest } = vak;
    const { policies, policyDigest, annotations = {} } = decision;
    // Equal for calls that one approval "for this run" covers.
    const key = canonicalJson({ input, labels, policyDigest, tool: tool.name });
    const granted = this.#standing.get(signal)?.get(key);
    if (granted !== undefined) return { granted: true, approval: granted };
    if (!this.#onApproval)
      return { granted: false, reason: "approval-unavailable", message: "the kernel has no onApproval" };
    if (signal.aborted) return { granted: false, reason: "approval-withdrawn" };

    const { value: shown } = openValue(commitment.file, "input", commitment.digest);
    const expires = Date.now() + this.#ms;
    const named = position(caller);
    const { seq: requestOf } = await this.#log.append({
      type: "approval-request",
      ...named,
      ...actionOf(tool.name),
      ...{ callDigest, policies, policyDigest },
      ...{ inputDigest: commitment.digest, expires },
    });
    const { name, title, description, annotations: hints } = tool;
    const request = Object.freeze({
      ...{ agent: { ...caller.agent }, run: caller.run, call: caller.call },
      tool: { name, ...(title !== undefined && { title }), description, ...(hints && { annotations: hints }) },
      input: shown,
      ...{ labels, annotations, policies, callDigest, expires },
    });
    const release = caller.hold();
    const answer = await this.#answer(this.#onApproval, request, signal).finally(release);
    const { verdict, by, scope, message } = answer;
    const entry = { type: "approval", ...named, requestOf, callDigest, verdict, by, scope } as const;
    const { seq } = await this.#log.append(entry);
    if (verdict !== "granted") {
      return { granted: false, reason: REASONS[verdict], approval: seq, ...(message && { message }) };
    }
    if (scope === "run") {
      const kept = this.#standing.get(signal) ?? new Map<string, number>();
      this.#standing.set(signal, kept.set(key, seq));
    }
    return { granted: true, approval: seq };
  }

  /** Waits for the person, at most until the run ends or the time is up. */
  async #answer(onApproval: OnApproval, request: ApprovalRequest, ended: AbortSignal): Promise<Said> {
    const over = new AbortController();
    const late = Promise.withResolvers<Said>();
    const stop = (verdict: "expired" | "withdrawn") => {
      late.resolve({ verdict, by: null, scope: null });
      over.abort(new VakError("aborted", verdict === "expired" ? "It is too late to answer." : "The run has ended."));
    };
    const onEnd = () => stop("withdrawn");
    ended.addEventListener("abort", onEnd, { once: true });
    if (ended.aborted) onEnd();
    const timer = setTimeout(() => stop("expired"), this.#ms);
    const said = Promise.resolve()
      .then(() => onApproval(request, { signal: over.signal }))
      .then(readAnswer)
      .catch((error: unknown): Said => {
        const message = clip(errorText(error), MAX_MESSAGE);
        return { verdict: "failed", by: null, scope: null, message };
      });
    try {
      return await Promise.race([late.promise, said]);
    } finally {
      clearTimeout(timer);
      ended.removeEventListener("abort", onEnd);
    }
  }
}

/** Longest message of an `onApproval` that failed, UTF-16 units. */
const MAX_MESSAGE = 500;

type Said = Pick<Approval, "verdict" | "by" | "scope"> & { message?: string };

const REASONS: Readonly<Record<Exclude<Approval["verdict"], "granted">, DenyReason>> = {
  refused: "approval-refused",
  expired: "approval-expired",
  withdrawn: "approval-withdrawn",
  failed: "approval-unavailable",
};

/** @throws Error when it is not an answer */
function readAnswer(answer: unknown): Said {
  const { approve, by, for: scope = "call" } = (answer ?? {}) as Partial<ApprovalAnswer>;
  if (typeof approve !== "boolean") throw new Error("onApproval must return { approve, by }");
  if (typeof by !== "string" || !/^[^\p{C}]{1,128}$/u.test(by))
    throw new Error("onApproval must say who answered: by, 1 to 128 printable characters");
  if (scope !== "call" && scope !== "run") throw new Error('onApproval must approve for "call" or for "run"');
  return approve ? { verdict: "granted", by, scope } : { verdict: "refused", by, scope: null };
}
