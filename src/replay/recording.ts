/** What the log kept of its runs, read from a bundle. Who signed it is for `verify` to check. */
import { type Bundle, MAX_PROGRAM_BYTES, policyPath, programPath } from "../audit/bundle.ts";
import { entriesOf, valueBeside } from "../audit/bundle-reading.ts";
import type { Entry } from "../audit/entry.ts";
import { MAX_VALUE_BYTES } from "../audit/value.ts";
import type { AgentSpawn } from "../audit/vocabulary/agent.ts";
import type { Denial, Intent, Outcome, ToolsListed } from "../audit/vocabulary/call.ts";
import type { RunEnd, RunStart, TracePart } from "../audit/vocabulary/run.ts";
import { canonicalJson } from "../base/canonical.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { joinLabels } from "../labels.ts";
import { type Met, type Part, type RecordedCall, type RunInput, TRACE_BYTES, type Trace } from "../protocol/trace.ts";
import { joinParts, parsePart, parseRunInput, parseTrace } from "../protocol/trace-json.ts";

/** What the log has of a call: how it was decided, or that it listed the tools. */
export type LoggedCall = Intent | Denial | ToolsListed;

/** What the log says of a run. */
export interface LoggedRun {
  id: string;
  /** Its place among its agent's runs, from 1. */
  number: number;
  spawn: AgentSpawn;
  start: RunStart;
  /** Undefined where it had not ended when the log was exported, or never did. */
  end: RunEnd | undefined;
  /** Whether only a recovery ended it. */
  interrupted: boolean;
  /** The parts of its trace that were stored while it ran, in order. */
  parts: TracePart[];
  /** By the number of the call. */
  calls: Map<number, LoggedCall>;
  /** By `seq`. */
  outcomes: Map<number, Outcome>;
  /** Digest of the schemas and entities behind the policy that was in force at a call, by the number of the call. */
  bases: Map<number, string>;
}

/** What it takes to execute a run again: all of it, or as much as was stored before it was cut off. */
export type Traced =
  | { input: RunInput; trace: Trace; end: RunEnd; reach: undefined }
  | { input: RunInput; trace: Met; end: undefined; reach: Reach };

/** How far the trace goes of a run that did not reach its end. */
export interface Reach {
  /** Units of work done by then. */
  fuel: number;
  /** Why it ends there. */
  why: string;
}

/** A call as it was recorded, with what is kept of it. */
export interface KnownCall extends RecordedCall {
  /** Undefined where the log has none. */
  entry: LoggedCall | undefined;
  /** It was made in the run that this one continues, and decided there. */
  elsewhere: boolean;
  /**
   * The input that the log commits to, and the schema by which its URLs were normalised; undefined where it commits to
   * none, or the bundle does not have it.
   */
  input: { json: string; withheld: string[]; schema: Schema } | undefined;
  /** What the guest read; undefined where it read nothing, or the bundle does not have it. */
  answered: Uint8Array | undefined;
}

type Schema = { readonly [keyword: string]: unknown };

/** A value in the bundle that is not the one that the log commits to. */
export interface ValueFault {
  /** The call that it belongs to. */
  call: number;
  message: string;
}

/** Bytes of the schemas and entities behind a policy. */
const MAX_BASE_BYTES = 16 * 2 ** 20;

type ReadLabels = ReadonlyMap<string, { seq: number; labels: readonly string[] }[]>;

/** A bundle's runs, in the order in which they started. */
export class Recording {
  readonly runs: readonly LoggedRun[];
  readonly #bundle: Bundle;
  /** By the name of the tool, by the digest of the text that has them. */
  readonly #schemas = new Map<string, ReadonlyMap<string, Schema>>();
  /** The labels of what agents read, and in which entry, by the id of the agent. */
  readonly #read: ReadLabels;

  private constructor(bundle: Bundle, runs: readonly LoggedRun[], read: ReadLabels) {
    this.#bundle = bundle;
    this.#read = read;
    this.runs = runs;
  }

  /** @throws VakError `invalid-bundle` */
  static async open(bundle: Bundle): Promise<Recording> {
    const runs = new Map<string, LoggedRun>();
    const agents = new Map<string, AgentSpawn>();
    const read = new Map<string, { seq: number; labels: readonly string[] }[]>();
    let base: string | undefined;
    for await (const entry of entriesOf(bundle)) {
      if (entry.type === "policy-load") base = entry.baseDigest;
      if ("labels" in entry && entry.type !== "agent-declassify" && entry.labels) {
        const { seq, labels, agent } = entry;
        const known = read.get(agent.id);
        if (known) known.push({ seq, labels });
        else read.set(agent.id, [{ seq, labels }]);
      }
      if (entry.type === "agent-spawn") agents.set(entry.agent.id, entry);
      if (entry.type === "recovery") for (const run of runs.values()) run.interrupted ||= !run.end;
      if (!("run" in entry)) continue;
      if (entry.type === "run-start") {
        const spawn = agents.get(entry.agent.id);
        const number = /^\d{1,15}$/.exec(entry.run.slice(entry.agent.id.length + 1));
        if (!spawn || !number || runs.has(entry.run) || entry.run !== `${entry.agent.id}/${number[0]}`) {
          throw bad(`Entry ${entry.seq} starts a run that no agent has`);
        }
        const run = { id: entry.run, number: Number(number[0]), spawn, start: entry, end: undefined };
        const nothing = { interrupted: false, parts: [], calls: new Map(), outcomes: new Map(), bases: new Map() };
        runs.set(entry.run, { ...run, ...nothing });
        continue;
      }
      const run = runs.get(entry.run);
      if (!run) throw bad(`Entry ${entry.seq} belongs to a run that has not started`);
      if (entry.type === "trace" && run.parts.push(entry) !== entry.part) {
        throw bad(`Entry ${entry.seq} is not the next part of the run's trace`);
      }
      if (entry.type === "run-end") run.end = entry;
      else if (entry.type === "outcome") run.outcomes.set(entry.seq, entry);
      else if (entry.type === "tools-listed") run.calls.set(entry.call, entry);
      else if (entry.type === "intent" || entry.type === "denial") {
        run.calls.set(entry.call, entry);
        if (base !== undefined) run.bases.set(entry.call, base);
      }
    }
    return new Recording(bundle, [...runs.values()], read);
  }

  /**
   * @param run its id, or its number among all runs of the log, from 1
   * @throws VakError `not-found`
   */
  find(run: string | number): LoggedRun {
    const found = typeof run === "number" ? this.runs[run - 1] : this.runs.find(({ id }) => id === run);
    if (found) return found;
    const { length } = this.runs;
    throw new VakError(
      "not-found",
      `There is no run ${run} in the log; it has ${length} ${length === 1 ? "run" : "runs"}.`,
    );
  }

  /** The agent's runs up to and including this one, oldest first. */
  upTo(run: LoggedRun): LoggedRun[] {
    return this.runs.filter(({ spawn, number }) => spawn === run.spawn && number <= run.number);
  }

  /** All that a run's agent had read before a call, declassified or not. */
  labelsBefore(run: LoggedRun, call: number): readonly string[] {
    const until = run.calls.get(call)?.seq ?? Infinity;
    const read = this.#read.get(run.spawn.agent.id) ?? [];
    return joinLabels(read.flatMap(({ seq, labels }) => (seq < until ? [labels] : [])));
  }

  /** As {@link valueBeside}. */
  value(entry: Entry, maxBytes?: number): ReturnType<typeof valueBeside> {
    return valueBeside(this.#bundle, entry, maxBytes);
  }

  /**
   * What it takes to execute a run again; for one that did not reach its end, as far as it was stored.
   *
   * @throws VakError `not-found` when it was not kept, or was erased; `invalid-bundle`
   */
  async traceOf(run: LoggedRun): Promise<Traced> {
    const { id, start, end, parts, interrupted } = run;
    const cannot = (why: string) => new VakError("not-found", `Run ${id} cannot be replayed: ${why}.`);
    // A worker that was lost did not say how the run ended.
    const lost = end?.digest === null && parts.length > 0;
    if (!end && parts.length === 0) throw cannot("the log holds neither its end nor any of its trace");
    if (end && !lost && end.untraced !== null) throw cannot(end.untraced);
    const input = await this.value(start);
    if (!input) throw cannot(`its environment and stdin are not in the bundle (values/${start.seq}.json)`);
    const given = parseRunInput(input.value);
    if (
      start.env.length !== Object.keys(given.env).length ||
      start.env.some((name) => !Object.hasOwn(given.env, name))
    ) {
      throw bad(`The environment of run ${id} is not the one that the log names`);
    }
    // The guest can see the order.
    const env = Object.fromEntries(start.env.map((name) => [name, given.env[name]!]));

    const met: Part[] = [];
    let reach = 0;
    let left = parts.length > 0 ? TRACE_BYTES : MAX_VALUE_BYTES;
    const next = async (entry: Entry, what: string) => {
      const opened = await this.value(entry, left);
      if (!opened) throw cannot(`${what} is not in the bundle (values/${entry.seq}.json)`);
      left -= opened.bytes;
      // `read` of a bundle in memory ignores maxBytes.
      if (left < 0) throw bad(`The trace of run ${id} is larger than a trace may be`);
      return opened.value;
    };
    for (const entry of parts) {
      const part = parsePart(await next(entry, `part ${entry.part} of its trace`));
      reach = Math.max(reach, part.fuel);
      met.push(part);
    }
    if (end && !lost) {
      const last = parseTrace(await next(end, parts.length > 0 ? "the last part of its trace" : "its trace"));
      const { stop, files, stdout, stderr } = last;
      const trace = { ...joinParts([...met, last]), stop, files, stdout, stderr };
      return { input: { ...given, env }, trace, end, reach: undefined };
    }
    const why = lost
      ? "its worker was lost"
      : interrupted
        ? "the page was closed or lost before it ended"
        : "it had not ended when the log was signed";
    return { input: { ...given, env }, trace: joinParts(met), end: undefined, reach: { fuel: reach, why } };
  }

  /** The calls of a trace with what the bundle keeps of them, and the values that are not what they should be. */
  async callsOf(run: LoggedRun, trace: Met): Promise<{ known: KnownCall[]; faults: ValueFault[] }> {
    const known: KnownCall[] = [];
    const faults: ValueFault[] = [];
    for (const [i, call] of trace.calls.entries()) {
      const number = i + 1;
      const entry = run.calls.get(number);
      let input: KnownCall["input"];
      let answered: Uint8Array | undefined;
      try {
        const opened = entry && (await this.value(entry));
        if (opened) {
          const schema = await this.#schemaOf(run.bases.get(number), entry!.resource);
          input = { json: canonicalJson(opened.value), withheld: opened.withheld, schema };
        }
        answered = await this.#answerOf(run, number, call.answer);
      } catch (error) {
        if (!(error instanceof VakError)) throw error;
        faults.push({ call: number, message: error.message });
      }
      const elsewhere = number < (run.start.continues?.call ?? 0);
      known.push({ ...call, entry, elsewhere, input, answered });
    }
    return { known, faults };
  }

  /** The tool's schema in the policy of that time; empty where the log does not have it. */
  async #schemaOf(base: string | undefined, tool: string): Promise<Schema> {
    if (base === undefined) return {};
    let schemas = this.#schemas.get(base);
    if (!schemas) {
      const bytes = await this.#bundle.read(policyPath(base, true), MAX_BASE_BYTES);
      schemas = readSchemas(bytes ? fromUtf8(bytes) : undefined);
      this.#schemas.set(base, schemas);
    }
    return schemas.get(tool) ?? {};
  }

  /** The bytes that the guest read. */
  async #answerOf(run: LoggedRun, call: number, answer: string | number | null) {
    if (typeof answer !== "number") return answer === null ? undefined : toUtf8(answer);
    const outcome = run.outcomes.get(answer);
    if (outcome?.call !== call) throw bad(`Entry ${answer} is not the outcome of the call`);
    const opened = await this.value(outcome);
    if (!opened) return undefined;
    const json = canonicalJson(opened.value);
    return toUtf8(outcome.status === "ok" ? `{"ok":${json}}` : json);
  }

  /** The program of that digest, if the bundle has it. */
  program(digest: string): Promise<Uint8Array | undefined> {
    return this.#bundle.read(programPath(digest), MAX_PROGRAM_BYTES);
  }
}

/** The schemas in a text that `policy/cedar/base.ts` wrote. Any other text has none: `verify` reports it. */
function readSchemas(text: string | undefined): Map<string, Schema> {
  try {
    const { tools } = JSON.parse(text ?? "") as { tools: { name: string; inputSchema: Schema }[] };
    return new Map(tools.map(({ name, inputSchema }) => [String(name), { ...inputSchema }]));
  } catch {
    return new Map();
  }
}

const bad = (what: string) => new VakError("invalid-bundle", `${what}.`);
