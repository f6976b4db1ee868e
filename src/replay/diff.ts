/** Compares two recorded runs: what they were given, what they asked for and got, how they ended, what they left. */
import { commonBytes, firstDifference } from "./divergence.ts";
import type { LoggedRun, Recording } from "./recording.ts";
import type { Replay, State } from "./result.ts";

/** Two texts, and the first byte at which they differ, from 0. */
export interface TextDifference {
  byte: number;
  one: string;
  other: string;
}

export interface RunDifference {
  /** Nothing below differs. */
  same: boolean;
  /**
   * What differs in what they were given: `program`, `args`, `stdin`, `env`, `startTime`, `clock`, `seed`, `files`, …
   */
  given: string[];
  /** The first call that differs, from 1, and in what: `tool`, `input`, `decision`, `answer`, or `number` of calls. */
  call: ({ number: number; what: string } & TextDifference) | null;
  /** How they ended: `outcome`, `fuel`, `memoryBytes`. */
  end: { what: string; one: string; other: string }[];
  /** By path, of the files at the end; `byte` is the first that differs. */
  files: { path: string; change: "added" | "removed" | "changed"; byte?: number }[];
  /** From each, the line that holds the byte. */
  stdout: TextDifference | null;
  stderr: TextDifference | null;
}

/** A run, and the result of executing it again to its end. */
export interface Side {
  recording: Recording;
  run: LoggedRun;
  replay: Replay & { state: State };
}

export async function difference(one: Side, other: Side): Promise<RunDifference> {
  const [a, b] = [await read(one), await read(other)];
  const found: RunDifference = {
    same: false,
    given: Object.keys(a.given).filter((name) => a.given[name] !== b.given[name]),
    call: firstCall(a.calls, b.calls),
    end: Object.keys(a.end).flatMap((what) =>
      a.end[what] === b.end[what] ? [] : [{ what, one: a.end[what]!, other: b.end[what]! }],
    ),
    files: filesOf(one.replay.state.files, other.replay.state.files),
    stdout: lines(one.replay.state.stdout, other.replay.state.stdout),
    stderr: lines(one.replay.state.stderr, other.replay.state.stderr),
  };
  const { given, call, end, files, stdout, stderr } = found;
  return { ...found, same: !given.length && !call && !end.length && !files.length && !stdout && !stderr };
}

type Call = Record<"tool" | "input" | "decision" | "answer", string>;

async function read({ recording, run }: Side) {
  const { input, trace, end } = await recording.traceOf(run);
  const { known } = await recording.callsOf(run, trace);
  const { agent, seed, limits, machine } = run.spawn;
  const given: Record<string, string> = {
    program: agent.program,
    machine,
    seed: String(seed),
    limits: JSON.stringify(limits),
    // The random numbers follow from the seed and from this.
    "number of the run": String(run.number),
    args: JSON.stringify([agent.name, ...run.start.args]),
    env: JSON.stringify(Object.entries(input.env)),
    stdin: text(input.stdin),
    startTime: String(run.start.startTime),
    clock: run.start.clock ?? "virtual",
    "files that the page wrote": JSON.stringify(
      trace.changes.map(({ path, data, at }) => [path, data instanceof Uint8Array ? text(data) : data, at]),
    ),
  };
  const calls = known.map(
    ({ entry, input, answered }): Call => ({
      tool: entry?.resource ?? "",
      input: input?.json ?? "",
      decision: (entry && "decision" in entry && entry.decision) || "",
      answer: answered ? text(answered) : "",
    }),
  );
  // Both runs have been executed to their end.
  const { status, exitCode, trap, limit, usage } = end!;
  const numbers = { fuel: `${usage.fuel}`, memoryBytes: `${usage.memoryBytes}` };
  return {
    given,
    calls,
    end: { outcome: `${status} ${exitCode ?? trap ?? limit ?? ""}`, ...numbers } as Record<string, string>,
  };
}

function firstCall(one: Call[], other: Call[]): RunDifference["call"] {
  for (const [i, call] of one.entries()) {
    const twin = other[i];
    if (!twin) break;
    for (const what of ["tool", "input", "decision", "answer"] as const) {
      if (call[what] === twin[what]) continue;
      return { number: i + 1, what, byte: firstDifference(call[what], twin[what]), one: call[what], other: twin[what] };
    }
  }
  if (one.length === other.length) return null;
  const number = Math.min(one.length, other.length) + 1;
  return { number, what: "number", byte: 0, one: `${one.length}`, other: `${other.length}` };
}

function filesOf(one: State["files"], other: State["files"]): RunDifference["files"] {
  const paths = [...new Set([...one.keys(), ...other.keys()])].sort();
  return paths.flatMap((path): RunDifference["files"] => {
    const [a, b] = [one.get(path), other.get(path)];
    if (!a) return [{ path, change: "added" }];
    if (!b) return [{ path, change: "removed" }];
    const byte = firstByte(a, b);
    return byte === undefined ? [] : [{ path, change: "changed", byte }];
  });
}

function firstByte(one: Uint8Array, other: Uint8Array): number | undefined {
  const at = commonBytes(one, other);
  return at === one.length && at === other.length ? undefined : at;
}

/** The first line that differs in two outputs. */
function lines(one: Uint8Array, other: Uint8Array): TextDifference | null {
  const byte = firstByte(one, other);
  if (byte === undefined) return null;
  const start = one.subarray(0, byte).lastIndexOf(NEWLINE) + 1;
  const line = (bytes: Uint8Array) => {
    const end = bytes.indexOf(NEWLINE, byte);
    return text(bytes.subarray(start, end < 0 ? bytes.length : end));
  };
  return { byte, one: line(one), other: line(other) };
}

const NEWLINE = 0x0a;
const decoder = new TextDecoder();
const text = (bytes: Uint8Array): string => decoder.decode(bytes);
