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
  };
}

/** A decision, with what determined it. Anything but a clean allow is a denial. */
export interface Decision {
  decision: "allow" | "deny";
  /** Ids of the policies that determined it: the permits that allowed, or the forbids that denied. */
  policies: string[];
  /**
   * Why it was denied: a `forbid` matched, no `permit` did, a policy failed while it was evaluated, or the engine
   * could not answer. Absent when allowed.
   */
  reason?: "forbidden" | "no-permit" | "policy-error" | "policy-unavailable";
  /** Messages of the errors met, empty when there were none. */
  errors: string[];
  /** SHA-256 of the policy that decided, hex; empty when there is none. */
  policyDigest: string;
}

/** A tool as a policy sees it: enough to type `context.input`. */
export interface PolicyTool {
  name: string;
  inputSchema: { readonly [key: string]: unknown };
}

/** What is in force after a successful load. */
export interface LoadedPolicy {
  /** SHA-256 of `text`, hex. */
  readonly digest: string;
  /** The policies as they were given. */
  readonly text: string;
  /** Ids, in order: what `@id("…")` says, else `policyN` by position. */
  readonly policies: readonly string[];
}

/**
 * The seam between the broker and a policy language. An engine denies until a policy is loaded, and denies on any
 * error; `decide` never throws and always settles.
 */
export interface PolicyEngine {
  /** What is in force, or undefined before the first successful load. */
  readonly loaded: LoadedPolicy | undefined;
  /**
   * Parses and validates, then replaces what is in force; on any error the old policy stays.
   *
   * @param commit awaited once the policy is known to be good and before it is in force; if it rejects, the old stays
   * @throws VakError `invalid-policy` with the engine's message and position; `policy-unavailable`
   */
  load(text: string, commit?: (policy: LoadedPolicy) => Promise<void>): Promise<LoadedPolicy>;
  decide(request: PolicyRequest): Promise<Decision>;
  close(): void;
}
