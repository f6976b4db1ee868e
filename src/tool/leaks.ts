/** What a tool's own `leaks` function finds in an input that should not leave, checked before a policy sees it. */
import type { Leaks, LeaksContext, Tool } from "./definition.ts";
import { type ParsedInput, parseInput } from "./input.ts";

const MAX_KINDS = 32;
const KIND = /^[a-z0-9][a-z0-9-]{0,31}$/;

/**
 * Asks a tool what should not leave in an input.
 *
 * @throws Error when the tool throws or does not say: then nothing may leave
 */
export async function leaksIn(tool: Tool, argument: unknown, context: LeaksContext): Promise<Leaks> {
  const { agent, run, call, signal } = context;
  const { kinds, redacted } = (await tool.leaks?.(argument, { agent: { ...agent }, run, call, signal })) ?? {};
  if (!Array.isArray(kinds) || kinds.length > MAX_KINDS || !kinds.every((kind) => KIND.test(kind))) {
    throw new Error("the tool's leaks did not return { kinds: […] }");
  }
  return { kinds: [...new Set(kinds)].sort(), ...(redacted !== undefined && { redacted }) };
}

/**
 * Reads the input of a call that is not made, only decided on, as {@link parseInput} does, with the kinds of its leaks.
 *
 * @throws what the tool's `leaks` throws
 */
export async function readInput(tool: Tool, value: unknown): Promise<ParsedInput & { leaks?: readonly string[] }> {
  const parsed = await parseInput(tool, value);
  if (!parsed.ok || !tool.leaks) return parsed;
  const nobody = { agent: { id: "", name: "", program: "" }, run: "", call: 1, signal: new AbortController().signal };
  return { ...parsed, leaks: (await leaksIn(tool, parsed.argument, nobody)).kinds };
}
