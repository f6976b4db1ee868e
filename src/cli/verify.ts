/** `vak verify`: verifies an exported log, or a receipt. */
import { type Bundle, type Report, type RunSummary, verify, verifyProof } from "../audit/index.ts";
import { MAX_PROOF_BYTES } from "../audit/receipt.ts";
import type { LogArguments, ReceiptArguments } from "./arguments.ts";
import { readBeginning, withBundle } from "./opening.ts";
import { printJson, printLines, printProblems } from "./print.ts";

/** @returns whether the log verifies */
export async function verifyLog({ paths, json, ...known }: LogArguments): Promise<boolean> {
  const report = await withBundle(paths, (bundle) => verifyBundle(bundle, known));
  if (json) {
    printJson(report);
    printProblems(report.problems);
  } else printLines(describe(report));
  return report.ok;
}

export const verifyBundle = (
  bundle: Bundle,
  { keys, witnesses }: Pick<LogArguments, "keys" | "witnesses">,
): Promise<Report> => verify(bundle, { ...(keys && { keys }), ...(witnesses && { witnesses }) });

/** What every command prints first: whether the log verifies, and if not, why. */
export const verdictOf = ({ ok, problems }: Report): string[] =>
  ok
    ? ["The log verifies."]
    : ["THE LOG DOES NOT VERIFY.", ...problems.map(({ where, message }) => `  - ${where}: ${message}`)];

/** @throws VakError `invalid-bundle` when it proves nothing */
export async function verifyReceipt({ path, keys, json }: ReceiptArguments): Promise<void> {
  // One that is longer is refused for its length.
  const text = await readBeginning(path, MAX_PROOF_BYTES + 1);
  const { origin, size, seq, entry, keys: signers } = await verifyProof(text, keys);
  if (json) printJson({ ok: true, origin, size, seq, keys: signers, entry });
  else {
    printLines([
      `The receipt verifies: entry ${seq} of ${size} in ${origin}, signed by ${signers.join(", ")}.`,
      "",
      ...JSON.stringify(entry, null, 2).split("\n"),
    ]);
  }
}

function describe(report: Report): string[] {
  return [
    ...verdictOf(report),
    "",
    // Without a root no checkpoint was believed, and so neither an origin nor a size.
    `  origin   ${report.origin || "?"}`,
    `  entries  ${report.root ? report.size : "?"}`,
    `  root     ${report.root || "?"}`,
    ...report.keys.map((key) => `  key      ${key}`),
    ...report.witnesses.map(({ key, time }) => `  witness  ${key} at ${new Date(time).toISOString()}`),
    "",
    ...report.runs.flatMap(describeRun),
    ...report.declassified.map(
      ({ seq, agent, labels, by, reason }) =>
        `Entry ${seq}: ${labels.join(", ")} of ${agent.name} declassified by ${by}: ${reason}`,
    ),
    ...(report.declassified.length > 0 ? [""] : []),
    ...(report.notChecked.length > 0 ? ["Not checked:", ...report.notChecked.map((what) => `  - ${what}`), ""] : []),
  ];
}

function describeRun({ agent, run, seq, calls, outcomes, end }: RunSummary): string[] {
  const lines = [`Run ${run} of ${agent.name}, program ${agent.program.slice(0, 12)}, from entry ${seq}`];
  for (const { decision, action, resource, policies, reason, approvedBy, count } of calls) {
    const verdict = decision === "allow" ? "allowed" : "denied ";
    // Where a policy allowed or forbade, its name says more than that it did.
    const named = policies.length > 0 && (decision === "allow" || reason === "forbidden" || reason === "policy-error");
    const determined = named ? `by ${policies.join(", ")}` : reason;
    const by = approvedBy === undefined ? determined : `${determined}, approved by ${approvedBy}`;
    lines.push(`  ${verdict}  ${action} on ${resource}  ${by}${count > 1 ? `  ×${count}` : ""}`);
  }
  if (outcomes.error > 0) lines.push(`  ${outcomes.error} of the allowed calls failed`);
  if (outcomes.unknown > 0) lines.push(`  ${outcomes.unknown} of the allowed calls may or may not have happened`);
  lines.push(`  ${describeEnd(end)}`, "");
  return lines;
}

function describeEnd(end: RunSummary["end"]): string {
  if (end === "open") return "had not ended when the log was signed";
  if (end === "interrupted") return "interrupted: the page was closed or lost before it ended";
  switch (end.status) {
    case "exited":
      return `exited with code ${end.exitCode}`;
    case "trapped":
      return `trapped: ${end.trap}${end.message ? `, ${end.message}` : ""}`;
    case "stopped":
      return `stopped: ${end.limit}`;
    case "failed":
      return `failed: ${end.message}`;
  }
}
