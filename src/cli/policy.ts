/** `vak policy`: tests a policy, or makes the decisions of a log again, without a browser. */
import { access, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Bundle } from "../audit/bundle.ts";
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import type { Budget } from "../policy/budget.ts";
import { createCedarEngine } from "../policy/cedar/cedar.ts";
import { cedarWasmUrl } from "../policy/cedar/wasm-url.ts";
import type { PolicySource, PolicyTool } from "../policy/engine.ts";
import { Ledger } from "../policy/ledger.ts";
import { type Redecided, redecide } from "../policy/redecide.ts";
import { defineTool, type Tool } from "../tool/definition.ts";
import { describeToPolicy } from "../tool/policy-view.ts";
import { type LogArguments, Misuse } from "./arguments.ts";
import { unreadable, withBundle } from "./opening.ts";
import { printJson, printLines, printProblems } from "./print.ts";
import { verdictOf, verifyBundle } from "./verify.ts";

/** The part of a tool that policies see. */
type SeenTool = Pick<Tool, "name" | "inputSchema" | "annotations" | "labels"> & { leaks?: Tool["leaks"] | true };

/** What a file for `policy test` holds, as JSON or as the exports of a module. */
interface PolicyFile {
  policy: PolicySource;
  tools: readonly SeenTool[];
  /** As `createKernel` takes them. */
  budgets?: { readonly [name: string]: Budget } | undefined;
  constitution?: string | undefined;
}

/**
 * Loads the policy in a file as a kernel would, and runs its own tests.
 *
 * @throws VakError `invalid-policy` or `invalid-tool` as `createKernel` does; `invalid-argument` when it is not such
 *   a file
 */
export async function testPolicy(path: string): Promise<void> {
  const { policy, tools, budgets = {}, constitution = "" } = await readPolicyFile(path);
  const engine = createCedarEngine({
    tools: tools.map(checked),
    budgets: Object.fromEntries(new Ledger(budgets).budgets),
    constitution,
    wasm: await readFile(cedarWasmUrl),
  });
  const { policies, digest } = await engine.load(policy);
  const tests = typeof policy === "string" ? 0 : (policy.tests ?? []).length;
  printLines([
    `The policy is good: ${count(policies.length, "policy", "policies")}, ${count(tests, "test", "tests")} passed.`,
    "",
    `  digest    ${digest}`,
    `  policies  ${policies.join(", ") || "none: everything is denied"}`,
  ]);
}

/** @returns whether the log verifies and its decisions come out the same */
export async function replayDecisions({ paths, json, ...known }: LogArguments): Promise<boolean> {
  return withBundle(paths, async (bundle) => {
    const report = await verifyBundle(bundle, known);
    if (json) printProblems(report.problems);
    else printLines(verdictOf(report));
    // Decisions mean something only in a log that verifies.
    const decided = report.ok ? await redecideLog(bundle) : undefined;
    if (json) printJson({ verified: report.ok, problems: report.problems, ...decided?.result });
    else if (decided) printLines(decided.lines);
    return decided?.good ?? false;
  });
}

/**
 * Makes the decisions of a log again.
 *
 * @returns the result, and what to print; it is not `good` if there are decisions and none could be made
 */
export async function redecideLog(bundle: Bundle): Promise<{ result: Redecided; good: boolean; lines: string[] }> {
  const result = await redecide(bundle, { wasm: await readFile(cedarWasmUrl) });
  const { decisions, agreed, differing, undecided } = result;
  const made = differing.length > 0 || agreed > 0 || decisions === 0;
  const verdict = differing.length === 0 ? "agrees with" : "DOES NOT AGREE with";
  return {
    result,
    good: made && differing.length === 0,
    lines: [
      made
        ? `Cedar ${verdict} the log: of ${count(decisions, "decision", "decisions")}, ${agreed} come out the same.`
        : "NONE of the log's decisions can be made again.",
      ...differing.map(
        ({ seq, of, logged, decided }) => `  entry ${seq}, ${of}: ${show(logged)} in the log, ${show(decided)} now`,
      ),
      ...(undecided.length > 0 ? [`Not made again: ${undecided.length}`] : []),
      ...undecided.map(({ seq, why }) => `  entry ${seq}: ${why}`),
    ],
  };
}

const show = (value: unknown): string => JSON.stringify(value) ?? "nothing";

const count = (number: number, one: string, more: string): string => `${number} ${number === 1 ? one : more}`;

async function readPolicyFile(path: string): Promise<PolicyFile> {
  const file = await load(path).catch((cause: unknown) => {
    if (cause instanceof Misuse) throw cause;
    throw new VakError("invalid-argument", `${path} cannot be read: ${errorText(cause)}`, { cause });
  });
  const { policy, tools = [], budgets, constitution } = (file ?? {}) as Partial<PolicyFile>;
  if (policy === undefined || !Array.isArray(tools)) {
    const missing = policy === undefined ? "policy" : "list of tools";
    throw new VakError(
      "invalid-argument",
      `${path} holds no ${missing}: give {"policy": …, "tools": […]}, or a module with these exports.`,
    );
  }
  return { policy, tools, budgets, constitution };
}

async function load(path: string): Promise<unknown> {
  if (!/\.m?js$/.test(path)) return JSON.parse(await readFile(path, "utf8").catch(unreadable(path)));
  // So that a missing file is reported as any other.
  await access(path).catch(unreadable(path));
  return import(pathToFileURL(resolve(path)).href);
}

/** A tool whose input is checked as the broker checks it, and searched for leaks if its function is given. */
function checked(tool: SeenTool): PolicyTool {
  const { name, inputSchema, annotations, labels, leaks } = tool ?? {};
  const looks = typeof leaks === "function" && { leaks };
  const more = { ...(annotations && { annotations }), ...(labels && { labels }), ...looks };
  const made = defineTool({ name, description: "-", inputSchema: inputSchema ?? {}, ...more, execute: () => null });
  return { ...describeToPolicy(made as Tool), leaks: Boolean(leaks) };
}
