/** The loop for approvals: ask the policy, ask a person where it says so, and ask the policy again with the answer. */
import type { AuditLog } from "../log/log.ts";
import type { Caller } from "./call.ts";
import type { Checked } from "./checked.ts";
import { messageOf } from "./message.ts";
import type { Approvals, NotApproved, OnApproval, Verdict } from "./people.ts";
import type { Ruling } from "./ruling.ts";

/** A ruling, and what a person said if one was asked. */
export interface Approved extends Ruling {
  /** `seq` of the entry with the person's answer. */
  approval?: number;
  /** Set when it is denied because it was not approved. */
  notApproved?: NotApproved;
}

/** ms that a person has to answer, unless the kernel says otherwise. */
const APPROVAL_MS = 120_000;

/** Gets people's approval for calls. The code that asks them is loaded when it is first needed. */
export class Approver {
  readonly #log: AuditLog;
  readonly #onApproval: OnApproval | undefined;
  readonly #ms: number;
  #approvals: Promise<Approvals> | undefined;

  constructor(
    log: AuditLog,
    { onApproval, approvalMs = APPROVAL_MS }: { onApproval?: OnApproval; approvalMs?: number },
  ) {
    this.#log = log;
    this.#onApproval = onApproval;
    this.#ms = approvalMs;
  }

  /**
   * @param askPolicy what the policy says of the call, with or without a person's approval
   * @param notApproved how this call was not approved before: that is final, and nobody is asked again
   * @throws VakError `log-unavailable`
   */
  async approve(
    caller: Caller,
    checked: Checked,
    askPolicy: (checked: Checked, approved: boolean) => Promise<Ruling>,
    notApproved?: NotApproved,
  ): Promise<Approved> {
    for (;;) {
      const asking = await askPolicy(checked, false);
      if (asking.decision.decision !== "ask") return asking;
      const verdict = notApproved ?? (await this.#ask(caller, checked, asking));
      if (!verdict.granted) return denied(asking, verdict);
      // The policy decides again, with the approval: a forbid may match by now.
      const ruling = await askPolicy(checked, true);
      const same =
        ruling.decision.policyDigest === asking.decision.policyDigest && ruling.vak.labels === asking.vak.labels;
      if (same) return { ...ruling, approval: verdict.approval };
      // It was given under another policy, or for an agent that had read less, and no longer counts: ask again.
    }
  }

  async #ask(caller: Caller, checked: Checked, ruling: Ruling): Promise<Verdict> {
    const approvals = await this.#load().catch(messageOf);
    if (typeof approvals === "string") return { granted: false, reason: "approval-unavailable", message: approvals };
    return approvals.ask(caller, checked, ruling);
  }

  #load(): Promise<Approvals> {
    this.#approvals ??= import("./people.ts").then(
      ({ Approvals }) => new Approvals(this.#log, this.#onApproval, this.#ms),
      (error) => {
        this.#approvals = undefined; // so that the next call tries again
        throw error;
      },
    );
    return this.#approvals;
  }
}

function denied({ decision, vak }: Ruling, notApproved: NotApproved): Approved {
  const { policies, policyDigest, annotations = {}, shadow } = decision;
  const { reason, approval, message } = notApproved;
  return {
    decision: {
      decision: "deny",
      reason,
      policies,
      errors: message === undefined ? [] : [message],
      policyDigest,
      annotations,
      ...(shadow && { shadow }),
    },
    vak,
    notApproved,
    ...(approval !== undefined && { approval }),
  };
}
