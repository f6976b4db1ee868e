/** Records what an agent takes in from outside, for the traces of its runs (see `trace.ts`). */
import { type Commitment, commitLarge } from "../audit/value.ts";
import { MAX_CHANGES, MAX_READINGS, type RunEnd, type SeedFile } from "../protocol.ts";
import {
  base64Length,
  type Change,
  type ForkPoint,
  inputToJson,
  prefixToJson,
  type RecordedCall,
  type RunInput,
  type RunPrefix,
  type Stream,
  TRACE_BYTES,
  traceToJson,
} from "../trace.ts";

/** Bytes of JSON that a call takes in a trace, its answer aside; about. */
const CALL_BYTES = 32;

const decoder = new TextDecoder();

const lengthOf = (data: SeedFile | null): number => (data instanceof Uint8Array ? data.byteLength : 0);

/**
 * The changes that the page makes to an agent's files, in order, until a trace takes them. A replay has to make every one
 * of them: where one is missing, no later run of the agent can be replayed.
 */
export class Recorder {
  /** Why no run of the agent is traced from here on. */
  broken: string | undefined;
  private changes: Omit<Change, "at">[] = [];
  private bytes = 0;

  /** The page is about to change a file. @param data is copied; null where it is removed */
  change(path: string, data: SeedFile | null): void {
    if (this.broken !== undefined) return;
    this.bytes += base64Length(lengthOf(data));
    if (this.changes.length === MAX_CHANGES)
      this.break(`the page changed more than ${MAX_CHANGES} files between two runs`);
    else if (this.bytes > TRACE_BYTES) this.break("the files that the page wrote are larger than a trace may be");
    else this.changes.push({ path, data: data instanceof Uint8Array ? data.slice() : data });
  }

  /** @param traced whether the page wants a trace */
  run(traced: boolean): RunRecorder {
    return new RunRecorder(this, traced);
  }

  /** @internal */
  break(why: string): void {
    this.broken ??= why;
    this.changes = [];
  }

  /** @internal How many changes wait for a trace. */
  get waiting(): number {
    return this.changes.length;
  }

  /** @internal Takes the first `before` changes, and after them those that a run met at `points`. */
  take(before: number, points: RunEnd["changes"]): Change[] {
    const taken = this.changes.splice(0, before + points.length);
    for (const { data } of taken) this.bytes -= base64Length(lengthOf(data));
    return taken.map((change, i) => ({ ...change, at: points[i - before] ?? null }));
  }
}

export class RunRecorder {
  /** Why there will be no trace. */
  untraced: string | undefined;
  private readonly recorder: Recorder;
  private readonly calls: RecordedCall[] = [];
  private callBytes = 0;
  /** See `Trace.before`. */
  private runsBefore: RunPrefix[] = [];
  /** Changes that the worker is told of before it is told of the run. */
  private before = 0;

  /** @internal Made by {@link Recorder.run}. */
  constructor(recorder: Recorder, traced: boolean) {
    this.recorder = recorder;
    this.untraced = recorder.broken ?? (traced ? undefined : "the page asked for no trace");
  }

  /** Commits to what the run is given, unless that is not to be kept. */
  async input(input: RunInput): Promise<Commitment | undefined> {
    const bytes = base64Length(input.stdin.byteLength) + JSON.stringify(input.env).length;
    if (bytes > TRACE_BYTES) this.untraced ??= "stdin and the environment are larger than a trace may be";
    return this.untraced === undefined ? commitLarge("input", inputToJson(input)) : undefined;
  }

  /** The run goes on with a recorded one: its first calls are answered already, and that one's earlier runs come before. */
  goOn({ runs }: ForkPoint): void {
    this.runsBefore = runs.slice(0, -1);
    this.calls.push(...(runs.at(-1)?.calls ?? []));
    this.callBytes = JSON.stringify([this.calls, this.runsBefore.map(prefixToJson)]).length;
  }

  /** The worker is about to be told of the run. */
  enter(): void {
    this.before = this.recorder.waiting;
  }

  /** The guest makes its next call. */
  call(fuel: number, request: Uint8Array): void {
    this.calls.push({ fuel, requestBytes: request.byteLength, answer: null });
  }

  /** It gets its answer. @param kept the `seq` of the outcome beside which that is kept */
  answer(bytes: Uint8Array, kept: number | undefined): void {
    this.calls.at(-1)!.answer = kept ?? decoder.decode(bytes);
    // At most every second character is escaped.
    this.callBytes += CALL_BYTES + (kept === undefined ? 2 * bytes.byteLength : 0);
  }

  /** Commits to what the run met; or finds why that cannot be kept, which holds for the agent's later runs too. */
  async trace(end: RunEnd, stdout: Stream, stderr: Stream): Promise<Commitment | undefined> {
    const { recorder, calls } = this;
    if (this.callBytes > TRACE_BYTES) this.untraced ??= "the calls and their answers are larger than a trace may be";
    if (end.readings === null) this.untraced ??= `the clock was read more than ${MAX_READINGS} times`;
    this.untraced ??= recorder.broken;
    if (this.untraced !== undefined) {
      recorder.break(`an earlier run of the agent has no trace: ${this.untraced}`);
      return undefined;
    }
    const { stop, files } = end;
    const changes = recorder.take(this.before, end.changes);
    const readings = end.readings ?? [];
    const before = this.runsBefore;
    return commitLarge("trace", traceToJson({ before, changes, calls, stop, readings, files, stdout, stderr }));
  }
}
