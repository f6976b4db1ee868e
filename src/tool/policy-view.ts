/** A tool as policies see it: what types `context.input`, and the groups that its action is in. */
import type { Tool, ToolAnnotations } from "./definition.ts";
import { readInput } from "./leaks.ts";

/**
 * The groups of a tool's action, with MCP's own defaults: without hints, it is `destructive` and reaches the `network`.
 */
export function groupsOf({ readOnlyHint, destructiveHint, openWorldHint }: ToolAnnotations = {}): string[] {
  const destructive = readOnlyHint !== true && destructiveHint !== false;
  return [...(destructive ? ["destructive"] : []), ...(openWorldHint !== false ? ["network"] : [])];
}

/** What a policy engine needs to know of a tool. */
export function describeToPolicy(tool: Tool) {
  const { name, inputSchema, annotations, labels, leaks } = tool;
  return {
    ...{ name, inputSchema, groups: groupsOf(annotations) },
    ...(leaks && { leaks: true }),
    ...(labels?.accepts && { accepts: labels.accepts }),
    read: (input: unknown) => readInput(tool, input),
  };
}
