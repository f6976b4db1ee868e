/** The fourth stage: the intent goes into the log, and once it is on disk the tool runs. No other code runs a tool. */
import { canonicalJson } from "../base/canonical.ts";
import { VakError } from "../errors.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { AuditLog } from "../log/log.ts";
import type { Tool } from "../tool/definition.ts";
import { checkOutput } from "../tool/input.ts";
import type { Answer, Caller } from "./call.ts";
import type { Decided } from "./decided.ts";
import { messageOf } from "./message.ts";
import type { Stores } from "./stores.ts";

/** What came of running the tool. */
interface Execution {
  answer: Answer;
  /** The run ended while the tool was working: the effect may or may not have happened. */
  status?: "unknown";
  /** Of the answer. */
  labels: readonly string[];
}

export interface Effect extends Execution {
  /** `seq` of the intent. */
  intentOf: number;
}

/**
 * Performs an allowed call. Appends the intent before it first awaits: see {@link finalise}.
 *
 * @throws VakError `log-unavailable`; the tool was not run
 */
export async function perform(caller: Caller, decided: Decided, log: AuditLog, stores: Stores): Promise<Effect> {
  const { checked, entry, lease, labels } = decided;
  const { tool, commitment } = checked;
  // Before the effect: another agent may read what this call stores before it returns.
  stores.join(tool.labels?.keeps, labels);
  const intent = { type: "intent", ...entry, decision: "allow", ...(lease && { lease: lease.seq }) } as const;
  const { seq } = await log.append(intent, { commitment });
  return { intentOf: seq, ...(await execute(caller, decided, stores)) };
}

/** Runs the tool. If the run ends first, nobody can know what the tool still does: the outcome is unknown. */
async function execute(caller: Caller, { checked, labels: read }: Decided, stores: Stores): Promise<Execution> {
  const { tool, argument, bill } = checked;
  const { signal } = caller;
  const aborted: Answer = { error: { code: "aborted", message: "The run has ended." } };
  if (signal.aborted) {
    bill?.cancel();
    return { answer: aborted, labels: [] };
  }
  const gone = Promise.withResolvers<Execution>();
  let answered = false;
  let noted: readonly string[] = [];
  const label = (labels: readonly string[]) => {
    const more = checkLabels(labels, "an answer");
    if (answered)
      throw new VakError("invalid-argument", "label: the call was answered already; label it before execute returns.");
    noted = joinLabels([noted, more]);
  };
  const onAbort = () => gone.resolve({ answer: aborted, status: "unknown", labels: [] });
  signal.addEventListener("abort", onAbort, { once: true });
  const charge = (unit: string, amount: number) => bill?.charge(unit, amount);
  const context = { signal, agent: caller.agent, run: caller.run, call: caller.call, charge, labels: read, label };
  const done = Promise.resolve()
    .then(() => tool.execute(argument, context))
    .then(
      (ok): Promise<Answer> => checkedAnswer(tool, ok),
      (error): Answer => ({ error: { code: "tool-error", message: messageOf(error) } }),
    )
    .then((answer): Execution => {
      answered = true;
      const { returns = [], keeps } = tool.labels ?? {};
      return { answer, labels: joinLabels([returns, noted, stores.of(keeps)]) };
    });
  try {
    return await Promise.race([done, gone.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What the tool returned, as the JSON that the guest will read and the log commit to. */
async function checkedAnswer(tool: Tool, value: unknown): Promise<Answer> {
  let ok: unknown;
  try {
    ok = JSON.parse(JSON.stringify(value ?? null));
    canonicalJson(ok);
  } catch {
    return { error: { code: "tool-error", message: "The tool returned a value that JSON cannot hold." } };
  }
  const wrong = await checkOutput(tool, ok);
  return wrong === undefined
    ? { ok }
    : { error: { code: "tool-error", message: `The tool's answer is not valid: ${wrong}` } };
}
