/** The live log: a row for each event, and a row for each call with its decision, input and answer. */
import type { Entry, LogRecord } from "../src/index.ts";
import { el, formatSeconds } from "./dom.ts";

/** Rows that stay on the page; older ones are still in the log. */
const MAX_ROWS = 400;

type EntryOf<T extends Entry["type"]> = Extract<Entry, { type: T }>;

export interface LedgerOptions {
  list: HTMLOListElement;
  /** The element that scrolls. */
  rows: HTMLElement;
  /** Called to show these records in full. */
  onOpen(records: readonly LogRecord[]): void;
  onDecision(decision: "allow" | "deny", tool: string, call: number): void;
}

/** A row, and the records that it represents: an intent and its outcome share one. */
interface Row {
  item: HTMLLIElement;
  records: LogRecord[];
}

export class Ledger {
  readonly #options: LedgerOptions;
  /** By the `seq` of its first record. */
  readonly #bySeq = new Map<number, Row>();
  readonly #missing = new Map<number, HTMLElement>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Entries whose input or answer is not shown yet: the log holds only a commitment to it. */
  get wanted(): number[] {
    return [...this.#missing.keys()];
  }

  add(record: LogRecord): void {
    const { rows } = this.#options;
    const following = rows.scrollHeight - rows.scrollTop - rows.clientHeight < 60;
    this.#show(record);
    if (following) rows.scrollTop = rows.scrollHeight;
  }

  setValue(seq: number, value: unknown): void {
    const place = this.#missing.get(seq);
    if (!place) return;
    this.#missing.delete(seq);
    place.textContent = place.dataset.kind === "input" ? formatInput(value) : formatAnswer(value);
    place.title = JSON.stringify(value);
  }

  /** Puts records of the past before all others. */
  prepend(records: readonly LogRecord[]): void {
    const { list } = this.#options;
    const first = list.firstChild;
    for (const record of records) this.#show(record, first);
  }

  #show(record: LogRecord, before: Node | null = null): void {
    const { entry } = record;
    if (entry.type === "outcome" && this.#complete(entry, record)) return;
    const item =
      entry.type === "intent" || entry.type === "denial" ? this.#callRow(entry, before === null) : eventRow(entry);
    const row: Row = { item, records: [record] };
    item.querySelector("button")!.addEventListener("click", () => this.#options.onOpen(row.records));
    this.#bySeq.set(record.seq, row);
    this.#options.list.insertBefore(item, before);
    if (before === null) this.#trim();
  }

  #callRow(entry: EntryOf<"intent"> | EntryOf<"denial">, live: boolean): HTMLLIElement {
    const tool = entry.action.replace(/^call:/, "");
    const { decision } = entry;
    const input = el("code", "input", "");
    input.dataset.kind = "input";
    if (entry.inputDigest !== null) this.#missing.set(entry.seq, input);
    const answer = el("span", "answer", decision === "allow" ? "…" : "no effect");
    answer.dataset.kind = "answer";
    const item = row(
      entry.seq,
      "call",
      el(
        "span",
        "line",
        decision === "allow" ? el("span", "stamp", "Allowed") : el("span", "stamp denied", "Denied"),
        " ",
        el("span", "what", el("code", "tool", tool || "(nothing)"), " ", input),
      ),
      el(
        "span",
        "line",
        el("span", "why", entry.type === "intent" ? `by ${entry.policies.join(", ")}` : whyDenied(entry)),
        " ",
        answer,
      ),
    );
    item.dataset.decision = decision;
    if (live) this.#options.onDecision(decision, tool, entry.call);
    return item;
  }

  /** Puts an outcome into the row of its intent; false if there is no such row. */
  #complete(entry: EntryOf<"outcome">, record: LogRecord): boolean {
    const row = this.#bySeq.get(entry.intentOf);
    const answer = row?.item.querySelector<HTMLElement>(".answer");
    if (!row || !answer) return false;
    row.records.push(record);
    row.item.dataset.status = entry.status;
    if (entry.status === "unknown") answer.textContent = "outcome unknown";
    else this.#missing.set(entry.seq, answer);
    return true;
  }

  #trim(): void {
    const { list } = this.#options;
    while (list.childElementCount > MAX_ROWS) {
      const first = list.firstElementChild as HTMLElement;
      const seq = Number(first.dataset.seq);
      for (const record of this.#bySeq.get(seq)?.records ?? []) this.#missing.delete(record.seq);
      this.#bySeq.delete(seq);
      first.remove();
    }
  }
}

function row(seq: number, kind: string, ...content: Node[]): HTMLLIElement {
  // The spaces are for screen readers, which read it as one line of text.
  const spaced = content.flatMap((part) => [part, " "]);
  const button = el(
    "button",
    "row",
    el("span", "seq", String(seq)),
    " ",
    el("i", "knot"),
    el("span", "lines", ...spaced),
  );
  button.type = "button";
  button.setAttribute("aria-haspopup", "dialog");
  const item = el("li", kind, button);
  item.dataset.seq = String(seq);
  return item;
}

function eventRow(entry: Exclude<Entry, { type: "intent" | "denial" }>): HTMLLIElement {
  const [what, detail] = describe(entry);
  const item = row(entry.seq, "event", el("span", "what", what), el("span", "why", detail));
  item.dataset.type = entry.type;
  return item;
}

function describe(entry: Exclude<Entry, { type: "intent" | "denial" }>): [what: string, detail: string] {
  switch (entry.type) {
    case "log-open":
      return ["Log opened", entry.origin];
    case "policy-load":
      return ["Policy loaded", entry.policies.join(", ") || "permits nothing"];
    case "policy-refused":
      return ["Policy refused", entry.message.split("\n")[0]!];
    case "agent-spawn":
      return ["Agent spawned", `${entry.agent.name}, program ${entry.agent.program.slice(0, 12)}…`];
    case "spawn-refused":
      return ["Agent refused", entry.message];
    case "approval-request":
      return ["You were asked", `about ${entry.resource}, for ${entry.policies.join(", ")}`];
    case "approval":
      return [
        VERDICTS[entry.verdict],
        entry.by === null ? "" : `by ${entry.by}${entry.scope === "run" ? ", for this run" : ""}`,
      ];
    case "tools-listed":
      return ["Tools listed", entry.tools.join(", ") || "none"];
    case "agent-close":
      return ["Agent closed", entry.agent.name];
    case "run-start":
      return ["Run started", `${entry.agent.name} ${entry.args.join(" ")}`];
    case "trace":
      return ["Trace stored", `part ${entry.part}, during the run`];
    case "run-end":
      return ["Run ended", `${describeEnd(entry)} after ${formatSeconds(entry.usage.wallMs ?? 0)}`];
    case "outcome":
      return ["Outcome", `of entry ${entry.intentOf}: ${entry.status}`];
    case "recovery":
      return ["Recovered", "the tab was closed while the log was open"];
    default:
      // A newer kernel may log types that this page does not know.
      return [(entry as Entry).type, ""];
  }
}

const VERDICTS: Record<EntryOf<"approval">["verdict"], string> = {
  granted: "Approved",
  refused: "Refused",
  expired: "Not answered in time",
  withdrawn: "Withdrawn: the run had ended",
  failed: "Nobody could be asked",
};

interface End {
  status: "exited" | "trapped" | "stopped" | "failed";
  exitCode?: number | null;
  trap?: string | null;
  limit?: string | null;
}

const LIMITS: Record<string, string> = {
  aborted: "stopped by you",
  fuel: "stopped at the fuel limit",
  deadline: "stopped at the time limit",
  output: "stopped at the output limit",
  calls: "stopped at the call limit",
  "log-unavailable": "stopped: the log cannot be written",
};

/** How a run ended, in a few words. */
export function describeEnd(end: End): string {
  switch (end.status) {
    case "exited":
      return `exited ${end.exitCode}`;
    case "trapped":
      return `trapped: ${end.trap}`;
    case "stopped":
      return LIMITS[end.limit ?? ""] ?? `stopped: ${end.limit}`;
    case "failed":
      return "failed";
  }
}

function whyDenied({ reason, policies, errors }: EntryOf<"denial">): string {
  switch (reason) {
    case "forbidden":
      return `forbidden by ${policies.join(", ")}`;
    case "no-permit":
      return "no policy permits it";
    default:
      return [reason.replaceAll("-", " "), errors[0]].filter(Boolean).join(": ");
  }
}

function formatInput(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return Object.entries(value)
    .map(([name, part]) => `${name}: ${JSON.stringify(part)}`)
    .join(", ");
}

function formatAnswer(value: unknown): string {
  const error = (value as { error?: { message?: string } } | null)?.error;
  return error?.message ?? `→ ${JSON.stringify(value)}`;
}
