/** The policy engine of a kernel without a policy: it denies every call. */
import { VakError } from "../errors.ts";
import type { Decision, PolicyEngine } from "../policy/engine.ts";

const noPolicy = (): never => {
  throw new VakError("unsupported", "This kernel was made without a policy; pass one to createKernel.");
};

const DENIED: Decision = {
  decision: "deny",
  policies: [],
  reason: "policy-unavailable",
  errors: [],
  policyDigest: "",
};

export const DENY_ALL: PolicyEngine = {
  loaded: undefined,
  load: noPolicy,
  try: async () => noPolicy(),
  lease: async () => noPolicy(),
  decide: async () => DENIED,
  callable: async () => new Set(),
  explain: async () => ({ ...DENIED, because: [] }),
  close: () => {},
};
