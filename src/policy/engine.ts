/** The interface between the broker and a policy engine: what a policy is, what it is asked, and what it decides. */
import type { BudgetStates } from "./budget.ts";

/** What a policy is asked: may this agent make this call? All but `tool` and `input` are facts of the kernel. */
export interface PolicyRequest {
  agent: {
    /** Unique to this spawn. */
    id: string;
    name: string;
    /** SHA-256 of the program's bytes, hex. */
    program: string;
  };
  /** The tool's name; its action is `Action::"call:NAME"`. */
  tool: string;
  /** The call's input, already valid against the tool's `inputSchema`. */
  input: { readonly [field: string]: unknown };
  /** Facts that only the kernel knows; `context.vak` in a policy. */
  vak: {
    /** SHA-256 of the canonical JSON of agent, tool, inputDigest and policyDigest, in hex. */
    callDigest: string;
    /** Wall clock, ms since 1970; a `datetime` in a policy. */
    now: number;
    /** Calls that this run has made before this one. */
    calls: number;
    /** Whether a person has approved exactly this call. */
    approved: boolean;
    /** The agent's labels, sorted: what it has read. */
    labels: readonly string[];
    /** Kinds of the leaks that were found in the input; absent if the tool does not look for leaks. */
    leaks?: readonly string[];
    /** The state of the kernel's budgets, including what this call may cost; absent if there are none. */
    budget?: BudgetStates;
  };
}

/** Why a call was denied. */
export type DenyReason =
  | "forbidden" // a `forbid` matched
  | "no-permit" // nothing matched
  | "policy-error" // a policy failed while it was evaluated
  | "policy-unavailable" // there is no policy, or it could not be asked
  | "label-not-accepted" // the agent has a label that the tool does not accept
  | "not-granted" // the agent was given no right to this tool
  | "revoked" // the agent's rights were revoked
  | "budget-exceeded" // the call may cost more than a budget has left
  | "approval-refused" // a person was asked, and refused
  | "approval-expired" // a person was asked, and did not answer in time
  | "approval-withdrawn" // the run ended before a person answered
  | "approval-unavailable"; // there is nobody to ask, or asking failed

/** A decision, with what determined it. Anything but an allow without errors denies, unless a person may approve. */
export interface Decision {
  /** `ask`: only a permit is missing, and an approval would supply it. */
  decision: "allow" | "deny" | "ask";
  /**
   * Ids of the policies that determined it, sorted: the permits that allow, or would with an approval; the forbids that
   * deny; or the policies that failed.
   */
  policies: string[];
  /** Set when denied. */
  reason?: DenyReason;
  /** Messages of the errors that occurred. */
  errors: string[];
  /** SHA-256 of the policy that decided, in hex; empty if there is none. */
  policyDigest: string;
  /** The annotations, other than `@id`, of the policies that determined it, if there are any. */
  annotations?: Annotations;
  /** What it would be if the policies with `@mode("shadow")` were in force; absent if there are none. */
  shadow?: ShadowDecision;
}

/** Annotations by the id of their policy. */
export type Annotations = { readonly [policy: string]: { readonly [annotation: string]: string } };

/** A policy that determined a decision. */
export interface ExplainedPolicy {
  id: string;
  /** Its Cedar text, including annotations. */
  text: string;
  annotations: { readonly [annotation: string]: string };
}

export type ShadowDecision = Pick<Decision, "decision" | "policies" | "reason" | "errors">;

/** A tool as a policy sees it. */
export interface PolicyTool {
  name: string;
  inputSchema: { readonly [key: string]: unknown };
  /** The groups, besides `call`, that its action is in; from {@link GROUPS}. */
  groups?: readonly string[];
  /** The only labels that an agent may have to call it. Default: any. */
  accepts?: readonly string[];
  /** Truthy (such as a tool's own function) if it looks for leaks: then its calls have `context.vak.leaks`. */
  leaks?: unknown;
  /** Reads the input of a policy pack's test as the broker reads a guest's, or says what is wrong with it. */
  read?(input: unknown): Promise<
    | {
        readonly ok: true;
        readonly input: { readonly [field: string]: unknown };
        readonly leaks?: readonly string[];
      }
    | { readonly ok: false; readonly message: string }
  >;
}

/** Groups of actions that every policy may refer to. */
export const GROUPS = ["destructive", "network"] as const;

/** A policy with its entities and tests. Plain JSON: the log keeps all of it. */
export interface PolicyPack {
  /** Cedar text. */
  policies: string;
  /** Entity types besides vak's own, as a Cedar schema (text or JSON) without actions. */
  schema?: string | { readonly [namespace: string]: unknown };
  /** Entities of those types, and tools with their parents and attributes, in Cedar's JSON. At most 1,000. */
  entities?: readonly PolicyEntity[];
  /** Calls with the decision that each must get. They run at each load: if one fails, the policy is refused. */
  tests?: readonly PolicyTest[];
}

export interface PolicyEntity {
  readonly uid: { readonly type: string; readonly id: string };
  readonly attrs?: { readonly [name: string]: unknown };
  readonly parents?: readonly { readonly type: string; readonly id: string }[];
}

/** A call, and the decision that it must get. */
export interface PolicyTest {
  /** What it shows; reported if it fails. */
  readonly name?: string;
  readonly tool: string;
  readonly input?: { readonly [field: string]: unknown };
  readonly agent?: { readonly name?: string; readonly program?: string };
  /** Facts of the kernel. Default: `now` is 2026-01-01T12:00Z, budgets are unused, everything else is zero or empty. */
  readonly vak?: Partial<Omit<PolicyRequest["vak"], "callDigest">>;
  readonly expect: Decision["decision"];
  /** Ids of exactly the policies that must determine it. */
  readonly by?: readonly string[];
}

/** Cedar text, or a policy pack. */
export type PolicySource = string | PolicyPack;

/** A policy in force. */
export interface LoadedPolicy {
  /** SHA-256 of `text`, in hex. */
  readonly digest: string;
  /** Cedar text as it was given, or a policy pack in canonical JSON. */
  readonly text: string;
  /** Ids, in the order of the text: by `@id("…")`, else `policyN` by position. */
  readonly policies: readonly string[];
  /** The base of all policies of this kernel, in canonical JSON: tools as policies see them, budgets, constitution. */
  readonly base: string;
}

/** The policy in force together with the permits of a lease. */
export interface LeasedRules {
  /** The digest of that policy. */
  readonly policyDigest: string;
  /** Ids of the permits, in the order of the text: by `@id("…")`, else `leaseN` by position. */
  readonly policies: readonly string[];
  /** Decides by the policy and the permits; throws if Cedar fails. */
  decide(request: PolicyRequest): Decision;
  /** As {@link PolicyEngine.callable}, by the policy and the permits. */
  callable(agent: PolicyRequest["agent"]): Promise<ReadonlySet<string>>;
}

/**
 * Decides by a policy. An engine denies everything until a policy is loaded, and denies on any error; `decide` never
 * rejects and always settles.
 */
export interface PolicyEngine {
  /** The policy in force; undefined before the first successful load. */
  readonly loaded: LoadedPolicy | undefined;
  /**
   * Parses, validates and tests a policy, and then puts it in force. On any error the old policy stays in force.
   *
   * @param commit awaited when the policy is known to be good, before it is in force; if it rejects, that is an error
   * @throws VakError `invalid-policy` with the engine's message and position; `policy-unavailable`
   */
  load(source: PolicySource, commit?: (policy: LoadedPolicy) => Promise<void>): Promise<LoadedPolicy>;
  decide(request: PolicyRequest): Promise<Decision>;
  /**
   * Parses, validates and tests a policy as {@link load} does, but does not put it in force.
   *
   * @returns decides by that policy; throws if Cedar fails
   * @throws VakError `invalid-policy`, `policy-unavailable`
   */
  try(source: PolicySource): Promise<(request: PolicyRequest) => Decision>;
  /**
   * Adds the permits of a lease to the policy in force.
   *
   * @throws VakError `invalid-policy`, `policy-unavailable`
   */
  lease(permit: string): Promise<LeasedRules>;
  /**
   * Names of the tools that an agent could ever be allowed to call under the policy in force: all but those of which
   * every call is certain to be denied, with any input and any facts of the kernel. Empty if no policy is in force.
   *
   * @throws Error if Cedar fails
   */
  callable(agent: PolicyRequest["agent"]): Promise<ReadonlySet<string>>;
  /** Decides as {@link decide} does, and adds the text of the policies that determined the decision. */
  explain(request: PolicyRequest): Promise<Decision & { because: ExplainedPolicy[] }>;
  close(): void;
}
