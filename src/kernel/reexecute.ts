/** Re-executing what led to a fork: the earlier runs of a recorded agent, in silence and with recorded answers. */
import { VakError } from "../errors.ts";
import type { GuestOutcome } from "../protocol/messages.ts";
import { parseFinished, parseNoRoom } from "../protocol/parse.ts";
import type { ForkPoint, RunPrefix } from "../protocol/trace.ts";
import { fullMessage } from "../worker/capacity.ts";
import { type Host, WorkerLost } from "../worker/host.ts";
import type { AgentContext } from "./agent-context.ts";
import { recordedAnswers } from "./run-options.ts";

/**
 * Brings a fresh agent to where the last of the recorded runs begins.
 *
 * @returns the last of them, which is not executed
 * @throws VakError `invalid-bundle` when an earlier run does not come to an end, `unsupported` when the browser cannot
 *   hold the program, or the agent is another machine or a reactor, `invalid-argument` when its program is another one
 *   or there are no runs; WorkerLost
 */
export async function reexecute(
  context: AgentContext,
  { program, machine, runs }: ForkPoint,
  signal: AbortSignal | undefined,
): Promise<RunPrefix> {
  const { ref, reactor, host, recorder } = context;
  if (ref.program !== program) {
    throw new VakError(
      "invalid-argument",
      `This is not the recorded program; give the one whose SHA-256 is ${program}.`,
    );
  }
  if (context.machine !== machine) {
    const ours = `this version of vak executes ${context.machine}`;
    throw new VakError("unsupported", `The run was recorded on the machine ${machine}; ${ours}.`);
  }
  if (reactor) throw new VakError("unsupported", "A call of a reactor's function cannot be forked.");
  const last = runs.at(-1);
  if (!last) throw new VakError("invalid-argument", "The fork point holds no run to continue.");
  for (const run of runs.slice(0, -1)) {
    for (const { path, data } of run.changes) await change(host, path, data);
    const outcome = await execute(context, run, signal);
    if (outcome?.status === "stopped" && outcome.limit === "asked") {
      throw new VakError(
        "invalid-bundle",
        `Run ${run.number}, which comes before it, makes more calls than it recorded.`,
      );
    }
  }
  for (const { path, data } of last.changes) {
    // The trace has the changes of the earlier runs with those runs.
    recorder.changes.add(path, data);
    await change(host, path, data);
  }
  return last;
}

/** Ignores a refusal: what was refused then is refused now. */
async function change(host: Host, path: string, data: RunPrefix["changes"][number]["data"]): Promise<void> {
  try {
    await (data === null ? host.call("removeFile", path) : host.call("writeFile", path, data));
  } catch (error) {
    if (error instanceof WorkerLost) throw error;
  }
}

async function execute(
  { host, ref, seed, limits, onFull }: AgentContext,
  run: RunPrefix,
  signal = new AbortController().signal,
): Promise<GuestOutcome | undefined> {
  const { number, args, env, stdin, startTime } = run;
  const answers = recordedAnswers(run);
  const request = { run: number, args: [ref.name, ...args], env, stdin, seed, startTime, answers, silent: true };
  // The worker leaves the deadline to the page, and there is no Run here to enforce it.
  const watch = setTimeout(
    () => host.lose(`run ${number} could not be re-executed within deadlineMs`),
    limits.deadlineMs,
  );
  const running = host.capacity.enter(() => host.call("run", request), { onFull, signal });
  const reply = await running.finally(() => clearTimeout(watch));
  const full = parseNoRoom(reply);
  if (full) throw new VakError("unsupported", fullMessage(full, onFull));
  return parseFinished(reply, limits)?.outcome;
}
