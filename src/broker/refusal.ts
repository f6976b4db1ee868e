/** Every way to turn a call down: refused before it is decided, or denied. Both are logged, then answered. */
import { MAX_TOOL_NAME } from "../audit/vocabulary/call.ts";
import { clip } from "../base/clip.ts";
import type { AuditLog } from "../log/log.ts";
import type { Decision, DenyReason } from "../policy/engine.ts";
import { type Answered, encodeAnswer } from "./answer.ts";
import { actionOf, type Caller, position, type Refusal } from "./call.ts";
import type { Decided } from "./decided.ts";
import { MAX_MESSAGE } from "./message.ts";

/** What a guest reads of a denial. */
export const DENIALS: Readonly<Record<DenyReason, string>> = {
  forbidden: "A policy forbids this call.",
  "no-permit": "No policy permits this call.",
  "policy-error": "A policy could not be evaluated, so the call is denied.",
  "policy-unavailable": "No policy could decide this call, so it is denied.",
  "label-not-accepted": "The tool does not accept what this agent has read.",
  "not-granted": "The agent has no right to use this tool.",
  revoked: "The agent's rights were revoked.",
  "budget-exceeded": "The call may cost more than is left to spend.",
  "approval-refused": "A person was asked about this call and refused it.",
  "approval-expired": "A person was asked about this call but did not answer in time.",
  "approval-withdrawn": "The run ended before a person answered.",
  "approval-unavailable": "This call needs a person's approval, and nobody could be asked.",
};

/**
 * Refuses a call that was not decided.
 *
 * @param policyDigest of the policy in force, or empty
 * @param why what the entry says, where that is not the code and message that the guest reads
 * @throws VakError `log-unavailable`
 */
export async function refuse(
  caller: Caller,
  { code, message, tool = "" }: Refusal,
  log: AuditLog,
  policyDigest: string,
  why: { reason: string; errors: string[] } = { reason: code, errors: [clip(message, MAX_MESSAGE)] },
): Promise<Answered> {
  await log.append({
    type: "denial",
    ...position(caller),
    ...actionOf(clip(tool, MAX_TOOL_NAME)),
    callDigest: null,
    decision: "deny",
    reason: why.reason,
    policies: [],
    errors: why.errors,
    policyDigest,
  });
  return { bytes: encodeAnswer({ error: { code, message } }, caller.callBytes).bytes };
}

/**
 * Denies a call that was decided. Appends the denial before it first awaits: see {@link finalise}.
 *
 * @throws VakError `log-unavailable`
 */
export async function deny(caller: Caller, { checked, decision, entry }: Decided, log: AuditLog): Promise<Answered> {
  const { reason = "policy-unavailable", errors } = decision;
  const { commitment } = checked;
  await log.append({ type: "denial", ...entry, decision: "deny", reason, errors } as const, { commitment });
  const message = denialMessage(decision, reason);
  return { bytes: encodeAnswer({ error: { code: "denied", message } }, caller.callBytes).bytes };
}

/** The reason, and the `@advice` of the policies that denied it: the one annotation that is meant for the guest. */
function denialMessage({ policies, annotations = {} }: Decision, reason: DenyReason): string {
  const advice = policies.map((id) => (Object.hasOwn(annotations, id) ? annotations[id]!.advice : undefined));
  return clip([DENIALS[reason], ...advice.filter(Boolean)].join(" "), MAX_MESSAGE);
}
