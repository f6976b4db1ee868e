/** Summarises what agents and runs did, from the entries of a log whose order is right. */
import type { Entry } from "../entry.ts";
import type { Denial, Intent } from "../vocabulary/call.ts";
import type { CallSummary, Report, RunSummary } from "./report.ts";

export class Summaries {
  readonly #report: Pick<Report, "agents" | "runs" | "declassified">;
  /** Who granted it, by the `seq` of the approval. */
  readonly #approvers = new Map<number, string>();
  /** Runs that have not ended, with their calls by what these have in common. */
  readonly #runs = new Map<string, { summary: RunSummary; calls: Map<string, CallSummary> }>();

  /** @param report where to put the summaries */
  constructor(report: Pick<Report, "agents" | "runs" | "declassified">) {
    this.#report = report;
  }

  add(entry: Entry): void {
    switch (entry.type) {
      case "agent-spawn":
        this.#report.agents.push(entry.agent);
        break;
      case "run-start": {
        const { run, agent, seq } = entry;
        const outcomes = { ok: 0, error: 0, unknown: 0 };
        const summary: RunSummary = { run, agent, seq, calls: [], outcomes, end: "open" };
        this.#runs.set(run, { summary, calls: new Map() });
        this.#report.runs.push(summary);
        break;
      }
      case "agent-declassify":
        this.#report.declassified.push(entry);
        break;
      case "approval":
        if (entry.verdict === "granted" && entry.by !== null) this.#approvers.set(entry.seq, entry.by);
        break;
      case "intent":
      case "denial":
        this.#addCall(entry);
        break;
      case "outcome":
        this.#runs.get(entry.run)!.summary.outcomes[entry.status]++;
        break;
      case "run-end":
        this.#runs.get(entry.run)!.summary.end = entry;
        this.#runs.delete(entry.run);
        break;
      case "recovery":
        for (const { summary } of this.#runs.values()) summary.end = "interrupted";
        this.#runs.clear();
        break;
    }
  }

  #addCall(entry: Intent | Denial): void {
    const { decision, action, resource, policies } = entry;
    const approvedBy = entry.type === "intent" && this.#approvers.get(entry.approval ?? -1);
    const call = {
      ...{ decision, action, resource, policies },
      ...(entry.type === "denial" && { reason: entry.reason }),
      ...(approvedBy && { approvedBy }),
    };
    const { summary, calls } = this.#runs.get(entry.run)!;
    const key = JSON.stringify(call);
    const alike = calls.get(key);
    if (alike) {
      alike.count++;
      return;
    }
    const first = { ...call, count: 1 };
    calls.set(key, first);
    summary.calls.push(first);
  }
}
