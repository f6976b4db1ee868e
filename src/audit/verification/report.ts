/** What `verify` reports about a bundle. */
import type { EntryType } from "../entry.ts";
import type { AgentDeclassify } from "../vocabulary/agent.ts";
import type { AgentRef } from "../vocabulary/common.ts";
import type { RunEnd } from "../vocabulary/run.ts";

export interface Problem {
  /** The file or the entry at fault. */
  where: string;
  message: string;
}

/** Calls of a run that are alike. */
export interface CallSummary {
  decision: "allow" | "deny";
  action: string;
  resource: string;
  policies: string[];
  /** Why they were denied. */
  reason?: string;
  /** Who approved them, where a person did. */
  approvedBy?: string;
  count: number;
}

export interface RunSummary {
  run: string;
  agent: AgentRef;
  /** `seq` of its run-start. */
  seq: number;
  calls: CallSummary[];
  outcomes: { ok: number; error: number; unknown: number };
  /** How it ended; `interrupted` by a recovery, or `open`: it had not ended when the log was exported. */
  end: RunEnd | "interrupted" | "open";
}

export interface Report {
  /** No problem was found. What could not be checked is in {@link notChecked}. */
  ok: boolean;
  origin: string;
  size: number;
  /** Root of the tree, base64. */
  root: string;
  /** The keys of the log (vkey) that signed the checkpoint. */
  keys: string[];
  /** The given witnesses (vkey) that cosigned it, and when (ms since 1970). */
  witnesses: { key: string; time: number }[];
  entries: Partial<Record<EntryType, number>>;
  agents: AgentRef[];
  runs: RunSummary[];
  /** What was declassified, by whom and why. */
  declassified: AgentDeclassify[];
  /** `seq` of the entries whose value was erased, as the log says. */
  erased: number[];
  /** `seq` of the other entries whose value is not in the bundle. */
  missing: number[];
  /** How many values are there without their secrets, which were never stored. */
  withheld: number;
  problems: Problem[];
  notChecked: string[];
}

export function emptyReport(): Report {
  return {
    ok: false,
    origin: "",
    size: 0,
    root: "",
    keys: [],
    witnesses: [],
    entries: {},
    agents: [],
    runs: [],
    declassified: [],
    erased: [],
    missing: [],
    withheld: 0,
    problems: [],
    notChecked: [],
  };
}
