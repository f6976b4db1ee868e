/** The second stage: the tool is known, the input is valid and committed to, and what it may cost is reserved. */
import { type Commitment, commitValue } from "../audit/value.ts";
import type { Bill } from "../policy/bill.ts";
import type { Payer } from "../policy/budget.ts";
import type { Ledger } from "../policy/ledger.ts";
import type { Tool } from "../tool/definition.ts";
import { parseInput } from "../tool/input.ts";
import { hasSecrets, type JsonSchema } from "../tool/schema.ts";
import type { Caller, Refusal } from "./call.ts";
import type { CallRequest } from "./request.ts";

/** An input that the tool's schema accepts. */
export interface CheckedInput {
  /** The guest's, frozen: what is decided on and logged. */
  input: { readonly [field: string]: unknown };
  /** What the tool is given. */
  argument: unknown;
  /** Made before the decision, so that what is decided, approved and logged is bound to one commitment. */
  commitment: Commitment;
}

export interface Checked extends CheckedInput {
  tool: Tool;
  requestBytes: number;
  /** Whoever holds it must cancel it in the end; that does nothing once it is settled. */
  bill: Bill | undefined;
  /**
   * Kinds of leaks found in the input, or the error if the search failed; absent if the tool does not search. See
   * `leaks.ts`.
   */
  leaks?: readonly string[] | Error;
  /** Kinds of leaks that were redacted from the guest's input. */
  redacted?: readonly string[];
}

export async function check(
  caller: Caller,
  request: CallRequest,
  tools: ReadonlyMap<string, Tool>,
  ledger: Ledger | undefined,
): Promise<Checked | { refusal: Refusal }> {
  const tool = tools.get(request.tool);
  if (!tool) {
    const message = `There is no tool ${JSON.stringify(request.tool)}.`;
    return { refusal: { code: "unknown-tool", message, tool: request.tool } };
  }
  const checked = await checkInput(tool, request.input);
  if (!("commitment" in checked)) {
    return { refusal: { code: "invalid-input", message: checked.message, tool: tool.name } };
  }
  const requestBytes = request.byteLength;
  // Last: nothing after it can fail and leave it open.
  const bill = openBill(caller, tool, checked.argument, requestBytes, ledger);
  return { ...checked, tool, requestBytes, bill };
}

/** Checks an input and commits to it; or says what is wrong with it. */
export async function checkInput(tool: Tool, given: unknown): Promise<CheckedInput | { message: string }> {
  const parsed = await parseInput(tool, given);
  if (!parsed.ok) return { message: parsed.message };
  const { input, argument } = parsed;
  return { input, argument, commitment: commitValue("input", input, await secretsIn(tool.inputSchema, input)) };
}

/** Whose budgets a call is charged to: the agent by its one reference, the run by its one signal. */
export const payer = ({ agent, signal }: Caller, { name }: Tool): Payer => ({ agent, run: signal, tool: name });

/** Reserves what the call may cost, if there are budgets. */
function openBill(caller: Caller, tool: Tool, argument: unknown, requestBytes: number, ledger: Ledger | undefined) {
  const { cost } = tool;
  const bytes = requestBytes + caller.callBytes;
  return ledger?.bill(payer(caller, tool), { calls: 1, bytes }, cost && (() => cost(argument)));
}

const marked = new WeakMap<JsonSchema, boolean>();

/**
 * JSON pointers to the secrets in an input. Most schemas have no secrets. They are frozen, so each is searched once.
 */
async function secretsIn(schema: JsonSchema, input: unknown): Promise<string[]> {
  if (!marked.has(schema)) marked.set(schema, hasSecrets(schema));
  return marked.get(schema) ? (await import("../tool/secrets.ts")).secretsOf(schema, input) : [];
}
