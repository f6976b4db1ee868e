/** Compares how a replayed run ended with what the log says of its end. */
import type { RunEnd } from "../audit/vocabulary/run.ts";
import { canonicalBytes } from "../base/canonical.ts";
import { sha256Hex } from "../base/sha256.ts";
import type { Limits } from "../limits.ts";
import type { Ended } from "../protocol/messages.ts";
import type { Met, StreamDigest, Trace } from "../protocol/trace.ts";
import type { ComparingOutside } from "./comparing.ts";
import type { Outputs, ReplayedOutput } from "./output.ts";
import type { LoggedRun, Reach } from "./recording.ts";

/**
 * The fuel that a replay may use at most, so that an execution that is not the recorded one ends too: as much as the
 * recorded one used. After a trap the count may be less than what was used, and a program that ended before it was
 * stopped may have trapped.
 */
export function fuelFor(end: RunEnd, trace: Trace, limits: Limits): number {
  const used = end.usage.fuel;
  const mayHaveTrapped = end.status === "trapped" || endedFirst(end, trace);
  return mayHaveTrapped || !used ? limits.fuel : Math.min(limits.fuel, used);
}

/** Whether the page stopped it. */
const wasAsked = ({ status, limit }: RunEnd): boolean => status === "stopped" && limit !== "fuel" && limit !== "output";

/**
 * Whether its program had ended, in whatever way, before it saw that it was to stop. At every other limit that the page
 * enforces, the program waits for an answer, and sees it.
 */
export const endedFirst = ({ status, limit }: RunEnd, { stop }: Trace): boolean =>
  status === "stopped" && (limit === "deadline" || limit === "aborted") && !stop;

export function compareEnds(
  outside: ComparingOutside,
  { run, trace, end }: { run: LoggedRun; trace: Trace; end: RunEnd },
  ended: Ended,
  output: Outputs,
): void {
  const same = (what: string, then: unknown, now: unknown) => {
    if (then !== now) outside.differ(what, String(then), String(now));
  };
  const made = Math.max(trace.calls.length, run.calls.size);
  // A call past the limit is made, but not recorded.
  if (outside.calls < made) outside.differ("calls", `${made}`, `${outside.calls}`, { call: outside.calls + 1 });
  const asked = wasAsked(end);
  if (!endedFirst(end, trace)) same("outcome", outcomeOf(end, asked), spell(ended.outcome));
  for (const what of ["fuel", "memoryBytes", "fileBytes"] as const) same(what, end.usage[what], ended[what]);
  const stdout = compareStream(outside, "stdout", trace.stdout, output[1], asked);
  const stderr = compareStream(outside, "stderr", trace.stderr, output[2], asked);
  same("files", trace.files, ended.files);
  same("readings of the clock", trace.readings.length, outside.readings);
  // The log knows which limit it was; a replay sees only that it was asked to stop.
  const { status, exitCode, trap, limit } = end;
  const set = {
    ...(exitCode !== null && { exitCode }),
    ...(trap !== null && { trap }),
    ...(limit !== null && { limit }),
  };
  const { outcome } = ended;
  const answered = status === "exited" && outcome.status === "exited" && outcome.value;
  const value = answered && { value: sha256Hex(answered) };
  const digest = { files: ended.files, outcome: { status, ...set, ...value }, stderr, stdout };
  same("digest", end.digest, sha256Hex(canonicalBytes(digest)));
}

/** For a run that was cut off: it did everything that was recorded, and did not end before that. */
export function compareReach(outside: ComparingOutside, { calls, readings }: Met, fuel: number, ended: Ended): void {
  const came = (what: string, then: number, now: number, more?: { call: number }) => {
    if (now < then) outside.differ(what, `${then}`, `${now}`, more);
  };
  came("calls", calls.length, outside.calls, { call: outside.calls + 1 });
  came("changes of files", outside.events.length, outside.eventsDone);
  came("readings of the clock", readings.length, outside.readings);
  came("fuel", fuel, ended.fuel);
}

export function describeReach(run: LoggedRun, { calls }: Met, { why, fuel }: Reach): string {
  const more = [...run.calls.keys()].filter((call) => call > calls.length).length;
  const after = more === 0 ? "" : `; the log has ${more} later ${more === 1 ? "call" : "calls"} of it, not compared`;
  return `${why}: what is stored of its trace goes to call ${calls.length} and ${fuel} units of fuel${after}`;
}

function compareStream(
  outside: ComparingOutside,
  what: string,
  then: StreamDigest,
  now: ReplayedOutput,
  asked: boolean,
): string {
  const digest = now.digest();
  const length = asked ? Math.min(then.bytes, now.bytes) : now.bytes;
  if (then.bytes !== length) outside.differ(`bytes of ${what}`, `${then.bytes}`, `${now.bytes}`);
  if (then.digest !== digest) outside.differ(what, `SHA-256 ${then.digest}`, `SHA-256 ${digest}`);
  return digest;
}

const outcomeOf = ({ status, exitCode, trap, limit }: RunEnd, asked: boolean): string =>
  asked ? "stopped asked" : `${status} ${exitCode ?? trap ?? limit}`;

const spell = (outcome: Ended["outcome"]): string =>
  outcome.status === "exited"
    ? `exited ${outcome.exitCode}`
    : `${outcome.status} ${outcome.status === "trapped" ? outcome.trap : outcome.limit}`;
