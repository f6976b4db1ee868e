/** A call as every stage of the broker sees it: who makes it, what answers it can get, and how the log names it. */
import type { AgentRef } from "../audit/vocabulary/common.ts";
import type { Lease } from "./lease.ts";
import type { Rights } from "./rights.ts";
import type { Taint } from "./taint.ts";

/** Who makes a call, and within which bounds. The request itself is still bytes. */
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
  taint: Taint;
  /** Pauses the run's deadline until the function that it returns is called. */
  hold(): () => void;
  /** Which tools the agent may ask for; all unless given. */
  rights?: Pick<Rights, "has" | "revoked">;
  /** Permits that it has for its tasks, besides the policy. */
  leases?: Iterable<Lease>;
}

/** What a guest reads when its call did not succeed; `error.code` in the answer. */
export type CallErrorCode =
  | "malformed" // the request is not JSON of the form {"tool", "input"}
  | "unknown-tool"
  | "invalid-input" // the input does not fit the tool's schema
  | "denied" // by policy
  | "tool-error" // the tool threw, or returned something that is not JSON
  | "too-large" // the request or the answer is longer than `callBytes`
  | "aborted"; // the run ended first

export type Answer = { ok: unknown } | { error: { code: CallErrorCode; message: string } };

/** Why a call is refused before it is decided. */
export interface Refusal {
  code: CallErrorCode;
  message: string;
  /** The tool that was asked for, if the request could be read that far. */
  tool?: string;
}

/** Which call it is, in entries of the log. */
export const position = ({ agent, run, call }: Caller) => ({ agent, run, call });

/** What it wants to do, in entries of the log. */
export const actionOf = (tool: string) => ({ action: `call:${tool}`, resource: tool });
