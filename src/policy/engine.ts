import type { BudgetStates } from "./budget.ts";

/** What a policy is asked: may this agent make this call? Every fact here comes from the kernel, never from the guest. */
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
  /** What only the kernel knows; `context.vak` in a policy. */
  vak: {
    /** SHA-256 of the canonical JSON of agent, tool, input and policy digest, hex. */
    callDigest: string;
    /** Wall clock, ms since 1970; a `datetime` in a policy. */
    now: number;
    /** Calls this run has made before this one. */
    calls: number;
    /** A person has approved just this call. */
    approved: boolean;
    /** What the agent has read: its labels, in order. */
    labels: readonly string[];
    /** Kinds of what was found in the input that should not leave; absent where the tool does not look for it. */
    leaks?: readonly string[];
    /** How the kernel's budgets stand, with what this call may cost; absent when it has none. */
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
  | "revoked" // the agent's rights were taken away
  | "budget-exceeded" // it may cost more than a budget has left
  | "approval-refused" // a person was asked, and said no
  | "approval-expired" // a person was asked, and did not answer in time
  | "approval-withdrawn" // the run ended before a person answered
  | "approval-unavailable"; // there is nobody to ask, or asking failed

/** A decision, with what determined it. Anything but a clean allow is a denial, unless a person may turn it. */
export interface Decision {
  /** `ask`: denied for lack of a permit alone, and allowed if a person approves. */
  decision: "allow" | "deny" | "ask";
  /**
   * Ids of the policies that determined it, in order: the permits that allowed or would allow, or the forbids that
   * denied.
   */
  policies: string[];
  /** Set when denied. */
  reason?: DenyReason;
  /** Messages of the errors met, empty when there were none. */
  errors: string[];
  /** SHA-256 of the policy that decided, hex; empty when there is none. */
  policyDigest: string;
  /** What the policies that determined it say of themselves: the annotations of each that has any, but for `@id`. */
  annotations?: Annotations;
  /** What it would have been with the policies that are only tried, `@mode("shadow")`; absent when there are none. */
  shadow?: ShadowDecision;
}

/** Annotations by the id of their policy. */
export type Annotations = { readonly [policy: string]: { readonly [annotation: string]: string } };

/** A policy that determined a decision. */
export interface ExplainedPolicy {
  id: string;
  /** As it was given, annotations and all. */
  text: string;
  annotations: { readonly [annotation: string]: string };
}

export type ShadowDecision = Pick<Decision, "decision" | "policies" | "reason" | "errors">;

/** A tool as a policy sees it: enough to type `context.input`. */
export interface PolicyTool {
  name: string;
  inputSchema: { readonly [key: string]: unknown };
  /** Groups that its action is in besides `call`: of {@link GROUPS}. */
  groups?: readonly string[];
  /** An agent with any other label than these may not call it. */
  accepts?: readonly string[];
  /** Whether it looks for leaks: then its calls have `context.vak.leaks`. A tool's own function counts as yes. */
  leaks?: unknown;
  /** Reads the input of a policy's own test as the broker would a guest's, or says what is wrong with it. */
  read?(input: unknown): Promise<
    | {
        readonly ok: true;
        readonly input: { readonly [field: string]: unknown };
        readonly leaks?: readonly string[];
      }
    | { readonly ok: false; readonly message: string }
  >;
}

/** Groups of actions that every policy may speak of. */
export const GROUPS = ["destructive", "network"] as const;

/** A policy with what belongs to it. Plain JSON: it is kept in the log as it was given. */
export interface PolicyPack {
  /** Cedar text. */
  policies: string;
  /** Entity types besides vak's own, as a Cedar schema (text or JSON); without actions. */
  schema?: string | { readonly [namespace: string]: unknown };
  /** Entities in Cedar's JSON: of those types, and the tools that belong to some of them. At most 1,000. */
  entities?: readonly PolicyEntity[];
  /** Calls with the decision that each must have. Run at each load: if one fails, the bundle is refused. */
  tests?: readonly PolicyTest[];
}

export interface PolicyEntity {
  readonly uid: { readonly type: string; readonly id: string };
  readonly attrs?: { readonly [name: string]: unknown };
  readonly parents?: readonly { readonly type: string; readonly id: string }[];
}

/** A call and what must be decided about it. */
export interface PolicyTest {
  /** What it shows; said when it fails. */
  readonly name?: string;
  readonly tool: string;
  readonly input?: { readonly [field: string]: unknown };
  readonly agent?: { readonly name?: string; readonly program?: string };
  /** Facts of the kernel that matter here; `now` is 2026-01-01T12:00Z and the rest is zero unless given. */
  readonly vak?: Partial<Omit<PolicyRequest["vak"], "callDigest">>;
  readonly expect: Decision["decision"];
  /** Ids of the policies that must have determined it, all of them. */
  readonly by?: readonly string[];
}

/** Cedar text, or a bundle. */
export type PolicySource = string | PolicyPack;

/** What is in force after a successful load. */
export interface LoadedPolicy {
  /** SHA-256 of `text`, hex. */
  readonly digest: string;
  /** The policy as it was given: Cedar text, or a bundle in canonical JSON. */
  readonly text: string;
  /** Ids, in order: what `@id("…")` says, else `policyN` by position. */
  readonly policies: readonly string[];
  /** What every policy of this kernel stands on, in canonical JSON: the tools as policies see them, budgets, constitution. */
  readonly base: string;
}

/** Permits that are added to a policy for one agent. */
export interface LeasedRules {
  /** Of the policy that they are added to. */
  readonly policyDigest: string;
  /** Their ids, in order: what `@id("…")` says, else `leaseN` by position. */
  readonly policies: readonly string[];
  /** Decides by the policy and these permits; throws when Cedar gives up. */
  decide(request: PolicyRequest): Decision;
  /** As {@link PolicyEngine.callable}, by the policy and these permits. */
  callable(agent: PolicyRequest["agent"]): Promise<ReadonlySet<string>>;
}

/**
 * The seam between the broker and a policy language. An engine denies until a policy is loaded, and denies on any
 * error; `decide` never throws and always settles.
 */
export interface PolicyEngine {
  /** What is in force, or undefined before the first successful load. */
  readonly loaded: LoadedPolicy | undefined;
  /**
   * Parses, validates and tests, then replaces what is in force; on any error the old policy stays.
   *
   * @param commit awaited once the policy is known to be good and before it is in force; if it rejects, the old stays
   * @throws VakError `invalid-policy` with the engine's message and position; `policy-unavailable`
   */
  load(source: PolicySource, commit?: (policy: LoadedPolicy) => Promise<void>): Promise<LoadedPolicy>;
  decide(request: PolicyRequest): Promise<Decision>;
  /**
   * Parses, validates and tests a policy as {@link load} does, and leaves the one in force where it is.
   *
   * @returns what would decide; it throws when Cedar gives up
   * @throws VakError `invalid-policy`, `policy-unavailable`
   */
  try(source: PolicySource): Promise<(request: PolicyRequest) => Decision>;
  /**
   * Reads permits to be added to the policy in force.
   *
   * @throws VakError `invalid-policy`, `policy-unavailable`
   */
  lease(permit: string): Promise<LeasedRules>;
  /**
   * Names of the tools that an agent could ever be allowed to call under the policy in force: all but those of which every
   * call is certain to be denied, whatever its input and whatever the kernel will know. None where there is no policy.
   *
   * @throws Error when Cedar gives up
   */
  callable(agent: PolicyRequest["agent"]): Promise<ReadonlySet<string>>;
  /** As {@link decide}, with the policies that determined it, whole. */
  explain(request: PolicyRequest): Promise<Decision & { because: ExplainedPolicy[] }>;
  close(): void;
}
