/** Entries about calls: approvals, decisions and their outcomes. */
import {
  anyObject,
  type Check,
  count,
  counts,
  digest,
  objectOf,
  oneOf,
  optional,
  orNull,
  text,
  texts,
} from "../fields.ts";
import { agent, digestOrEmpty, type EntryOf, entry, labels } from "./common.ts";

/** Longest name of a requested tool that an entry keeps, UTF-16 units. */
export const MAX_TOOL_NAME = 128;

const call = {
  agent,
  run: text,
  /** The call's number within its run. */
  call: count,
};

const requested = {
  ...call,
  action: text,
  resource: text,
};

/** What is kept of a decision, so that it can be made again. */
const decided = {
  /** What only the kernel knew, as the policy saw it in `context.vak`, except for the `callDigest`. */
  facts: optional(anyObject),
  /** `seq` of the approval that the call was decided with, or that refused it; absent when nobody was asked. */
  approval: optional(count),
  /** What kinds of data were removed from the input before this decision, because a policy says so (`@redact`). */
  redacted: optional(texts),
  /** What would have been decided with the policies that are only on trial. */
  shadow: optional(
    objectOf({
      decision: oneOf("allow", "deny", "ask"),
      policies: texts,
      reason: optional(text),
      errors: texts,
    }),
  ),
};

/** A person is asked whether a call may be made. */
export interface ApprovalRequest extends EntryOf<typeof approvalRequest> {}
export const approvalRequest = entry("approval-request", {
  ...requested,
  /** Commitment to the input; the value is beside the intent or the denial that follows. */
  inputDigest: digest,
  callDigest: digest,
  /** Ids of the policies that allow it if it is approved. */
  policies: texts,
  policyDigest: digest,
  /** From when on no answer means no, ms since 1970. */
  expires: count,
});

/** The result of asking, before the call is made or denied. */
export interface Approval extends EntryOf<typeof approval> {}
export const approval = entry(
  "approval",
  {
    ...call,
    /** The `seq` of the request that this closes. */
    requestOf: count,
    callDigest: digest,
    /** `expired`: no answer in time. `withdrawn`: the run ended first. `failed`: the person could not be asked. */
    verdict: oneOf("granted", "refused", "expired", "withdrawn", "failed"),
    /** Who answered; null when nobody did. */
    by: orNull(text),
    /** Set when granted: for this call, or for each with the same tool and input in this run; otherwise null. */
    scope: oneOf("call", "run", null),
  },
  ({ verdict, by, scope }) => {
    const answered = verdict === "granted" || verdict === "refused";
    if (answered !== (by !== null)) return "an approval says who answered if and only if someone did";
    return (verdict === "granted") === (scope !== null)
      ? undefined
      : "an approval has a scope if and only if it was granted";
  },
);

/** An allowed call, written before its effect. */
export interface Intent extends EntryOf<typeof intent> {}
export const intent = entry("intent", {
  ...requested,
  ...decided,
  /** Commitment to the input (see `value.ts`). */
  inputDigest: digest,
  callDigest: digest,
  decision: oneOf("allow"),
  /** `seq` of the lease that allowed it; absent where the policy did. */
  lease: optional(count),
  /** Ids of the policies that allowed it. */
  policies: texts,
  policyDigest: digest,
});

/** A call that was denied and had no effect. */
export interface Denial extends EntryOf<typeof denial> {}
export const denial = entry("denial", {
  ...requested,
  ...decided,
  /** Commitment to the input; null when the request held none that could be read. */
  inputDigest: orNull(digest),
  callDigest: orNull(digest),
  decision: oneOf("deny"),
  reason: text,
  policies: texts,
  errors: texts,
  /** Empty when no policy was loaded. */
  policyDigest: digestOrEmpty,
});

/** The result of an allowed call. */
export interface Outcome extends EntryOf<typeof outcome> {}
export const outcome = entry(
  "outcome",
  {
    ...call,
    /** The `seq` of the intent that this closes. */
    intentOf: count,
    /** `unknown`: the effect may or may not have happened, because the page or the tool ended before it could say. */
    status: oneOf("ok", "error", "unknown"),
    /** Commitment to the answer; never null when the status is `ok`. */
    outputDigest: orNull(digest),
    /** Code of the error; null unless the status is `error`. */
    error: orNull(text),
    /** What the call cost, by unit, where there are budgets. */
    cost: optional(counts as Check<{ readonly [unit: string]: number }>),
    /** Labels of the answer, which the agent has from here on; absent where there are none. */
    labels: optional(labels),
  },
  ({ status, outputDigest, error }) => {
    if (status === "ok" && outputDigest === null) return "an outcome that is ok has an outputDigest";
    if (status === "unknown" && outputDigest !== null) return "an unknown outcome has no outputDigest";
    return (status === "error") === (error !== null)
      ? undefined
      : "an outcome has an error if and only if its status is error";
  },
);

/**
 * A guest asked which tools it could ever be allowed to call, and got the list: the answer to a call, not a decision.
 */
export interface ToolsListed extends EntryOf<typeof toolsListed> {}
export const toolsListed = entry("tools-listed", {
  ...call,
  /** What it asked for in place of a tool. */
  resource: oneOf("vak.tools"),
  /** Their names. */
  tools: texts,
  /** Empty when no policy was loaded. */
  policyDigest: digestOrEmpty,
});
