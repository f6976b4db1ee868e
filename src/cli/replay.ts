/** `vak replay`: executes the runs of a log again, compares two of them, or shows the state at a call. */
import { readFile } from "node:fs/promises";
import type { Bundle, Report } from "../audit/index.ts";
import { clip } from "../base/clip.ts";
import {
  type Divergence,
  diff,
  type Replay,
  type RunDifference,
  replay,
  replayAll,
  type State,
  type TextDifference,
} from "../replay/index.ts";
import type { ReplayArguments } from "./arguments.ts";
import { unreadable, withBundle } from "./opening.ts";
import { printJson, printLines, printProblems } from "./print.ts";
import { verdictOf, verifyBundle } from "./verify.ts";

/** @returns whether the log verifies, and its runs and decisions come out the same */
export async function replayLog(args: ReplayArguments): Promise<boolean> {
  const { paths, json, run, until, against } = args;
  const programs = await readPrograms(args.programs);
  return withBundle(paths, async (bundle) => {
    const report = await verifyBundle(bundle, args);
    if (json) printProblems(report.problems);
    else printLines(verdictOf(report));
    const options = {
      ...(programs.length > 0 && { program: programs }),
      ...(until !== undefined && { until: { call: until } }),
    };
    const verified = { verified: report.ok, problems: report.problems };
    const replays: Replay[] = [];
    try {
      if (against !== undefined) {
        const found = await diff({ bundle, run: which(run!), ...options }, { bundle, run: which(against), ...options });
        if (json) printJson({ ...verified, ...found });
        else printLines(describeDifference(found, report));
        return report.ok && found.same;
      }
      if (run !== undefined) replays.push(await replay(bundle, which(run), options));
      else for await (const one of replayAll(bundle, options)) replays.push(one);
    } catch (error) {
      // A log that does not verify may be unreadable in part. The report says what is known of it.
      if (json && !report.ok) printJson({ ...verified, ...(against === undefined && { replays: [] }) });
      throw error;
    }
    // Decisions mean something only in a log that verifies, and a look at one call is not about them.
    const decided = report.ok && until === undefined ? await redecided(bundle, report) : undefined;
    if (json) {
      const shown = replays.map(({ state, ...rest }) => ({ ...rest, ...(state && { state: summary(state) }) }));
      printJson({ ...verified, replays: shown, ...(decided && { decisions: decided.result }) });
    } else {
      if (replays.length === 0) printLines(["", "There are no runs in it."]);
      printLines([
        ...replays.flatMap((one) => describeReplay(one, report)),
        ...(decided ? ["", ...decided.lines] : []),
      ]);
    }
    return report.ok && (decided?.good ?? true) && replays.every(({ verdict }) => verdict === "same");
  });
}

async function readPrograms(paths: readonly string[]): Promise<Uint8Array<ArrayBuffer>[]> {
  const programs: Uint8Array<ArrayBuffer>[] = [];
  for (const path of paths) {
    programs.push(new Uint8Array(await readFile(path).catch(unreadable(path))));
  }
  return programs;
}

/** The log's decisions, made again, if there are any. */
async function redecided(bundle: Bundle, { entries }: Report) {
  if (!entries.intent && !entries.denial) return undefined;
  const { redecideLog } = await import("./policy.ts");
  return redecideLog(bundle);
}

/** A run's number, or its id. */
const which = (run: string): string | number => (/^\d{1,15}$/.test(run) ? Number(run) : run);

/** What a result means less by, if the log that it is about may be forged. */
const caveat = ({ ok }: Report): string => (ok ? "" : " (according to a log that does not verify)");

function describeDifference(
  { same, given, call, end, files, stdout, stderr }: RunDifference,
  report: Report,
): string[] {
  const pair = ({ one, other }: { one: string; other: string }) => [`    ${shorten(one)}`, `    ${shorten(other)}`];
  const output = (name: string, found: TextDifference | null) =>
    found ? [`  ${name}, from byte ${found.byte} on`, ...pair(found)] : [];
  const marks = { added: "+", removed: "-", changed: "~" };
  return [
    "",
    same ? `The runs are the same${caveat(report)}.` : `The runs differ${caveat(report)}:`,
    ...given.map((what) => `  given  ${what}`),
    ...(call ? [`  call ${call.number}: its ${call.what}`, ...pair(call)] : []),
    ...end.flatMap((found) => [`  ${found.what}`, ...pair(found)]),
    ...files.map(
      ({ path, change, byte }) => `  ${marks[change]} ${path}${byte === undefined ? "" : `  from byte ${byte} on`}`,
    ),
    ...output("stdout", stdout),
    ...output("stderr", stderr),
  ];
}

/** A state as it can be printed: instead of bytes, how many there are. */
function summary({ memory, files, stdout, stderr, ...rest }: State) {
  const globals = Object.entries(rest.globals).map(([i, value]) => [i, String(value)]);
  return {
    ...rest,
    globals: Object.fromEntries(globals),
    memoryBytes: memory.byteLength,
    files: Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.byteLength])),
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  };
}

function describeState(state: State): string[] {
  const { reached, request, memoryBytes, files, directories, stdout, stderr } = summary(state);
  const lines = (name: string, text: string) =>
    text === "" ? [] : [`  ${name}`, ...text.split("\n").map((line) => `    ${line}`)];
  return [
    reached ? `  stopped at the call ${request}` : "  the run ended before that call",
    `  ${memoryBytes} bytes of memory`,
    ...directories.map((path) => `  ${path}/`),
    ...Object.entries(files).map(([path, bytes]) => `  ${path}  ${bytes} bytes`),
    ...lines("stdout so far", stdout),
    ...lines("stderr so far", stderr),
  ];
}

function describeReplay(
  { run, verdict, divergence, missing, calls, fuel, notCompared, state }: Replay,
  report: Report,
): string[] {
  const verdicts = {
    same: "the same",
    diverged: "DIVERGED",
    interrupted: "the same as far as its trace was stored",
    incomplete: "NOT REPLAYED TO ITS END",
  };
  return [
    "",
    `Run ${run}: ${verdicts[verdict]}${caveat(report)}`,
    `  ${calls} ${calls === 1 ? "call" : "calls"}, ${fuel} units of fuel`,
    ...(divergence ? describeDivergence(divergence, run) : []),
    ...(missing === null ? [] : [`  ${missing}`]),
    ...notCompared.map((what) => `  not compared: ${what}`),
    ...(state ? describeState(state) : []),
  ];
}

/** Longest stretch of a text that differs, as it is shown, UTF-16 units. */
const MAX_SHOWN = 400;

const shorten = (text: string) => (text.length > MAX_SHOWN ? `${clip(text, MAX_SHOWN)}…` : text);

function describeDivergence(
  { run: at, call, fuel, what, recorded, replayed, byte }: Divergence,
  run: string,
): string[] {
  return [
    `  first ${call === null ? "not at a call" : `at call ${call}`}${at === run ? "" : ` of run ${at}`}, after ${fuel} units of fuel`,
    `  ${what}${byte === undefined ? "" : `, from byte ${byte} on`}`,
    `    recorded  ${shorten(recorded)}`,
    `    replayed  ${shorten(replayed)}`,
  ];
}
