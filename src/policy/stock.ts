/**
 * `vak/policies`: forbids for agents that have read something secret or untrusted.
 *
 * They allow nothing by themselves. A tool's `annotations` say whether it reaches the network and whether it destroys
 * (`openWorldHint`, `readOnlyHint`, `destructiveHint`); a tool without annotations is assumed to do both.
 *
 * @example
 * import { stockPolicies } from "vak/policies";
 *
 * const kernel = await createKernel({ constitution: stockPolicies, policy, tools });
 */
export const stockPolicies = `
@id("secret-to-network")
@reason("An agent that has read something secret could send it away.")
@advice("You have read something secret: use no tool that reaches the network.")
forbid (principal, action in Action::"network", resource) when { context.vak.labels.contains("secret") };

@id("untrusted-to-destructive")
@reason("An agent that has read something untrusted may do what that told it to.")
@advice("You have read something untrusted: use no tool that destroys.")
forbid (principal, action in Action::"destructive", resource) when { context.vak.labels.contains("untrusted") };
`.trimStart();
