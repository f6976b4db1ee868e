/** The last stage: the outcome goes into the log, and the answer to the guest, as JSON of bounded length. */
import { canonicalJson } from "../base/canonical.ts";
import { toUtf8 } from "../base/utf8.ts";
import type { AuditLog } from "../log/log.ts";
import { type Answer, type Caller, position } from "./call.ts";
import type { Checked } from "./checked.ts";
import type { Effect } from "./effect.ts";
import { messageOf } from "./message.ts";
import type { Taint } from "./taint.ts";

/** The answer as the guest reads it. */
export interface Answered {
  bytes: Uint8Array;
  /** The `seq` of the outcome that stores the answer, if one does. */
  kept?: number;
}

/**
 * Settles the bill, labels the agent, and posts the outcome: all in one turn, and before the guest has the answer.
 *
 * @throws VakError `log-unavailable` when the outcome cannot be appended; it need not be on disk yet
 */
export function answer(caller: Caller, { requestBytes, bill }: Checked, effect: Effect, log: AuditLog): Answered {
  const { answer: given, status, labels, intentOf } = withinLabels(caller.taint, effect);
  const { bytes, sent } = encodeAnswer(given, caller.callBytes);
  const counted = { calls: 1, bytes: requestBytes + bytes.byteLength };
  const cost = bill && { cost: bill.settle(counted, status !== "unknown") };
  caller.taint.join(labels);
  const labelled = labels.length > 0 && { labels: [...labels] };
  const outcome = { type: "outcome", ...position(caller), intentOf, ...cost, ...labelled } as const;
  if (status === "unknown") {
    log.post({ ...outcome, status, error: null });
    return { bytes };
  }
  const kept =
    "ok" in sent
      ? log.post({ ...outcome, status: "ok", error: null }, { output: sent.ok })
      : log.post({ ...outcome, status: "error", error: sent.error.code }, { output: sent });
  // If not even the error fits, the guest gets nothing, which differs from the stored output.
  return bytes.byteLength > 0 ? { bytes, kept } : { bytes };
}

/** An answer that would give the agent more labels than it can have does not reach it. */
function withinLabels(held: Taint, effect: Effect): Effect {
  try {
    held.joined(effect.labels);
    return effect;
  } catch (error) {
    return { ...effect, answer: { error: { code: "tool-error", message: messageOf(error) } }, labels: [] };
  }
}

/**
 * The answer as the guest reads it: JSON, and no longer than `callBytes`. What a tool returned is spelled canonically
 * (RFC 8785), so that a replay can make the same bytes from the value that is kept.
 */
export function encodeAnswer(answer: Answer, callBytes: number): { bytes: Uint8Array; sent: Answer } {
  const bytes = toUtf8("ok" in answer ? `{"ok":${canonicalJson(answer.ok)}}` : JSON.stringify(answer));
  if (bytes.byteLength <= callBytes) return { bytes, sent: answer };
  const sent: Answer = { error: { code: "too-large", message: "The answer is longer than the limit callBytes." } };
  const short = toUtf8(JSON.stringify(sent));
  // If not even this fits, nothing: callBytes must hold, whatever the answer.
  return { bytes: short.byteLength <= callBytes ? short : new Uint8Array(), sent };
}
