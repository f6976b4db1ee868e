/** Shows what the policy in the editor would have decided about the calls in the log. */
import type { Kernel, Simulation } from "../src/index.ts";
import { el } from "./dom.ts";
import { finding, openSheet } from "./sheet.ts";
import { readValues } from "./values.ts";

type Change = Simulation["changed"][number];

/** How many changes are shown. */
const MAX_CHANGES = 50;

/** @throws VakError `invalid-policy` */
export async function simulatePolicy(kernel: Kernel, policy: string): Promise<void> {
  const { decisions, same, changed, undecided } = await kernel.policy.simulate(kernel.log, policy);
  const shown = changed.slice(0, MAX_CHANGES);
  const inputs = await readValues(
    kernel.log,
    shown.map(({ seq }) => seq),
  );
  const verdict = el(
    "p",
    `verdict ${changed.length === 0 ? "good" : "bad"}`,
    el("strong", "", changed.length === 0 ? "Nothing would change" : `${changed.length} would change`),
    el(
      "span",
      "",
      `of ${decisions} ${decisions === 1 ? "decision" : "decisions"} in the log, ${same} would be the same`,
    ),
  );
  const parts: HTMLElement[] = [verdict];
  if (shown.length > 0) {
    const list = shown.map((change) => describe(change, inputs.get(change.seq)));
    if (changed.length > shown.length) list.push(finding("info", `and ${changed.length - shown.length} more`));
    parts.push(el("section", "", el("h3", "", "What would change"), el("ul", "findings", ...list)));
  }
  if (undecided.length > 0) {
    const list = undecided.slice(0, MAX_CHANGES).map(({ seq, why }) => finding("info", `Entry ${seq}: ${why}`));
    parts.push(el("section", "", el("h3", "", "Could not be decided again"), el("ul", "findings", ...list)));
  }
  parts.push(
    el(
      "p",
      "aside",
      "Each call is decided with what the kernel knew at the time. Nothing was executed, and nothing was logged.",
    ),
  );
  openSheet("What if this policy had been in force?", ...parts);
}

function describe({ seq, tool, was, would }: Change, input: unknown): HTMLElement {
  const text = `${tool} ${input === undefined ? "" : JSON.stringify(input)}`;
  const by = would.policies.length > 0 ? ` by ${would.policies.join(", ")}` : "";
  const detail = `Entry ${seq}: ${WAS[was.decision]}; it would be ${WOULD[would.decision]}${by}`;
  return finding(would.decision === "deny" ? "bad" : "good", text, detail);
}

const WOULD = { allow: "allowed", deny: "denied", ask: "asked about", payable: "allowed" };
const WAS: typeof WOULD = { ...WOULD, ask: "a person was asked", payable: "the budget was spent" };
