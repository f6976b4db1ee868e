/** Takes from a recording what a fork needs to continue a run from one of its calls. */
import { fromUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { ForkPoint, RunPrefix } from "../protocol/trace.ts";
import type { LoggedRun, Recording } from "./recording.ts";

/** @throws VakError `not-found`, `unsupported`, `invalid-bundle` */
export async function forkAt(recording: Recording, run: LoggedRun, call: number): Promise<ForkPoint> {
  const { agent, limits, seed, machine, mounts } = run.spawn;
  const runs: RunPrefix[] = [];
  for (const one of recording.upTo(run)) {
    // It was stopped before it reached the worker.
    if (one !== run && one.end?.digest === null && one.end.usage.fuel === undefined) continue;
    for (const prefix of await prefixOf(recording, one, one === run ? call : undefined)) runs.push(prefix);
  }
  const { name, program } = agent;
  const labels = recording.labelsBefore(run, call);
  const given = { limits: { ...limits }, seed, labels, ...(mounts && { mounts }) };
  return { run: run.id, call, name, program, machine, ...given, runs };
}

/**
 * @param until the first call that is left out
 * @returns the run, and before it those that it continues itself
 */
async function prefixOf(recording: Recording, run: LoggedRun, until: number | undefined): Promise<RunPrefix[]> {
  const cannot = (why: string) => new VakError("unsupported", `Run ${run.id} cannot be continued: ${why}.`);
  if (run.start.clock === "real") throw cannot("it read the real clock, which has advanced since");
  const { input, trace, end } = await recording.traceOf(run);
  const { known, faults } = await recording.callsOf(run, trace);
  if (faults[0]) throw new VakError("invalid-bundle", `Call ${faults[0].call} of run ${run.id}: ${faults[0].message}`);
  if (until !== undefined && until > known.length) {
    throw new VakError("not-found", `Run ${run.id} has ${known.length} calls; there is no call ${until}.`);
  }
  if (until === undefined && (!end || trace.stop))
    throw cannot("it was stopped, and a later run begins with its files");
  const kept = known.slice(0, until === undefined ? known.length : until - 1);
  const calls = kept.map(({ answered, fuel, requestBytes }, i) => {
    if (answered) return { fuel, requestBytes, answer: fromUtf8(answered) };
    throw new VakError("not-found", `The answer to call ${i + 1} of run ${run.id} is not in the bundle.`);
  });
  const fuel = until === undefined ? Infinity : known[until - 1]!.fuel;
  if (trace.changes.some(({ at }) => at !== null && at.fuel <= fuel))
    throw cannot("the page changed its files while it ran");
  const changes = trace.changes.filter(({ at }) => at === null);
  const { args, startTime } = run.start;
  return [...trace.before, { number: run.number, args, env: input.env, stdin: input.stdin, startTime, changes, calls }];
}
