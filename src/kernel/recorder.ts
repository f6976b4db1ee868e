/** Records what an agent takes in from outside, for the traces of its runs (see `trace.ts`), and stores it while they go on. */
import { type Commitment, commitLarge } from "../audit/value.ts";
import { MAX_CHANGES, MAX_READINGS } from "../protocol/bounds.ts";
import type { MetMessage, Point, RunEnd, SeedFile } from "../protocol/messages.ts";
import {
  type Change,
  type ForkPoint,
  type Part,
  type RecordedCall,
  type RunInput,
  type RunPrefix,
  type Stream,
  TRACE_BYTES,
} from "../protocol/trace.ts";
import { base64Length, inputToJson, partToJson, prefixToJson, traceToJson } from "../protocol/trace-json.ts";

/** Bytes of JSON that a call takes in a trace, its answer aside; about. And a change, its data and its path aside; a reading. */
const CALL_BYTES = 32;
const CHANGE_BYTES = 64;
const READING_BYTES = 4;

/**
 * What a run has met is stored when it comes to so many bytes of JSON, about, or so many ms after the first of it: a run that
 * takes less than either has all of its trace beside its end.
 */
const PART_BYTES = 64 * 1024;
const PART_MS = 1000;

const decoder = new TextDecoder();

const lengthOf = (data: SeedFile | null): number => (data instanceof Uint8Array ? base64Length(data.byteLength) : 0);

/**
 * The changes that the page makes to an agent's files, in order, until a trace takes them. A replay has to make every one
 * of them: where one is missing, no later run of the agent can be replayed.
 */
export class Recorder {
  /** Why no run of the agent is traced from here on. */
  broken: string | undefined;
  private changes: Omit<Change, "at">[] = [];
  /** Of the changes that wait, and of those that parts of the trace at hand have taken. */
  private count = 0;
  private bytes = 0;

  /** The page is about to change a file. @param data is copied; null where it is removed */
  change(path: string, data: SeedFile | null): void {
    if (this.broken !== undefined) return;
    this.bytes += lengthOf(data);
    if (this.count++ === MAX_CHANGES) this.break(`the page changed more than ${MAX_CHANGES} files between two runs`);
    else if (this.bytes > TRACE_BYTES) this.break("the files that the page wrote are larger than a trace may be");
    else this.changes.push({ path, data: data instanceof Uint8Array ? data.slice() : data });
  }

  /**
   * @param traced whether the page wants a trace
   * @param store puts a part of a trace into the log, beside an entry with its number
   */
  run(traced: boolean, store: (part: number, commitment: Commitment) => Promise<unknown>): RunRecorder {
    return new RunRecorder(this, traced, store);
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

  /** @internal Bytes of JSON that those changes come to, about. */
  bytesOf(from: number, count: number): number {
    const bytes = ({ path, data }: Omit<Change, "at">) => CHANGE_BYTES + path.length + lengthOf(data);
    return this.changes.slice(from, from + count).reduce((sum, change) => sum + bytes(change), 0);
  }

  /** @internal Takes the first `before` changes, and after them those that a run met at `points`. */
  take(before: number, points: readonly Point[]): Change[] {
    const taken = this.changes.splice(0, before + points.length);
    return taken.map((change, i) => ({ ...change, at: points[i - before] ?? null }));
  }

  /** @internal A trace is whole: what waits still is for the next one. */
  next(): void {
    this.count = this.changes.length;
    this.bytes = this.changes.reduce((sum, { data }) => sum + lengthOf(data), 0);
  }
}

export class RunRecorder {
  /** Why there will be no trace. */
  untraced: string | undefined;
  private readonly recorder: Recorder;
  private readonly store: (part: number, commitment: Commitment) => Promise<unknown>;
  /** See `Met.before`; and the calls that the run goes on with, as far as it is not known that the guest has made them. */
  private runsBefore: RunPrefix[] = [];
  private given: RecordedCall[] = [];
  /** Changes that the worker is told of before it is told of the run. */
  private before = 0;
  /** While the guest may be at work. */
  private running = false;
  /** What is not stored yet: where the changes were met, calls, the answer to a call that is stored, readings. */
  private points: Point[] = [];
  private calls: RecordedCall[] = [];
  private answered: string | number | undefined;
  private readings: number[] = [];
  /** How much that is, bytes of JSON, about; and since when there is something. */
  private held = 0;
  private since = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Units of work done when the worker spoke last. */
  private fuel = 0;
  /** Of the whole run: bytes of calls, about; and readings. */
  private callBytes = 0;
  private read = 0;
  /** Parts that are stored, or are being stored one after the other, and their bytes. */
  private parts = 0;
  private partBytes = 0;
  private storing: Promise<void> = Promise.resolve();

  /** @internal Made by {@link Recorder.run}. */
  constructor(recorder: Recorder, traced: boolean, store: RunRecorder["store"]) {
    this.recorder = recorder;
    this.store = store;
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
    this.given = [...(runs.at(-1)?.calls ?? [])];
    this.callBytes = JSON.stringify([this.given, this.runsBefore.map(prefixToJson)]).length;
  }

  /** The worker is about to be told of the run. */
  enter(): void {
    this.running = true;
    this.before = this.recorder.waiting;
  }

  /** Whether the worker has said that the guest is at work. */
  get begun(): boolean {
    return this.parts > 0 || this.held > 0;
  }

  /** The worker tells what the guest met. False where that cannot be. */
  met({ fuel, changes, readings }: MetMessage): boolean {
    if (!this.running) return false;
    // Of a clock that is read too often it tells one reading too many.
    if (this.read + readings.length > MAX_READINGS + 1) return false;
    this.read += readings.length;
    if (this.read > MAX_READINGS) this.untraced ??= `the clock was read more than ${MAX_READINGS} times`;
    this.untraced ??= this.recorder.broken;
    if (this.untraced !== undefined) return true;
    if (this.before + this.points.length + changes.length > this.recorder.waiting) return false;
    const bytes = this.recorder.bytesOf(this.before + this.points.length, changes.length);
    for (const point of changes) this.points.push(point);
    for (const reading of readings) this.readings.push(reading);
    this.fuel = Math.max(this.fuel, fuel);
    this.hold(bytes + readings.length * READING_BYTES);
    this.storeIfDue();
    return true;
  }

  /** The guest makes its next call. */
  call(fuel: number, request: Uint8Array): void {
    this.calls.push({ fuel, requestBytes: request.byteLength, answer: null });
    this.fuel = Math.max(this.fuel, fuel);
    this.hold(CALL_BYTES);
  }

  /** It gets its answer. @param kept the `seq` of the outcome beside which that is kept */
  answer(bytes: Uint8Array, kept: number | undefined): void {
    const answer = kept ?? decoder.decode(bytes);
    const call = this.calls.at(-1);
    if (call) call.answer = answer;
    else this.answered = answer;
    // At most every second character is escaped.
    const length = kept === undefined ? 2 * bytes.byteLength : 0;
    this.callBytes += CALL_BYTES + length;
    this.hold(length);
    this.storeIfDue();
  }

  private hold(bytes: number): void {
    this.held += bytes;
    if (this.timer === undefined) {
      this.since = performance.now();
      this.timer = setTimeout(() => this.storePart(), PART_MS);
    }
  }

  /** Not before the guest has its answer. The timer of a page that is hidden may come a minute late. */
  private storeIfDue(): void {
    if (this.held >= PART_BYTES || performance.now() - this.since >= PART_MS) queueMicrotask(() => this.storePart());
  }

  /** Stores what is not stored. Nobody waits for that but the run's end. */
  private storePart(): void {
    if (this.timer === undefined) return;
    this.release();
    if (!this.traceable()) return;
    const part = partToJson({ ...this.take(this.fuel), fuel: this.fuel });
    const number = ++this.parts;
    this.storing = this.storing.then(async () => {
      const commitment = await commitLarge("trace", part);
      if (this.fits(commitment)) await this.store(number, commitment);
    });
    // What cannot be appended ends the log, which ends the run; whatever else it is, the trace has a gap.
    this.storing = this.storing.catch(() => {
      this.untraced ??= "a part of its trace could not be stored";
    });
  }

  private release(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.held = 0;
  }

  private traceable(): boolean {
    if (this.callBytes > TRACE_BYTES) this.untraced ??= "the calls and their answers are larger than a trace may be";
    this.untraced ??= this.recorder.broken;
    return this.untraced === undefined;
  }

  private fits({ file }: Commitment): boolean {
    this.partBytes += file.byteLength;
    if (this.partBytes > TRACE_BYTES) this.untraced ??= "what it met is larger than a trace may be";
    return this.untraced === undefined;
  }

  /** @param fuel units of work done by now */
  private take(fuel: number): Part {
    const { runsBefore: before, readings, answered } = this;
    const made = this.given.filter((call) => call.fuel <= fuel);
    this.given = this.given.slice(made.length);
    const calls = [...made, ...this.calls];
    const changes = this.recorder.take(this.before, this.points);
    this.before = 0;
    this.runsBefore = [];
    this.points = [];
    this.calls = [];
    this.readings = [];
    this.answered = undefined;
    return { before, changes, calls, readings, ...(answered !== undefined && { answer: answered }) };
  }

  /**
   * The run has ended. Waits for what is being stored, and commits to what remains of what it met; or finds why that cannot
   * be kept, which holds for the agent's later runs too.
   *
   * @param end none where the worker was lost, or the run never began
   */
  async trace(end: RunEnd | undefined, stdout: Stream, stderr: Stream): Promise<Commitment | undefined> {
    const { recorder } = this;
    this.running = false;
    this.release();
    if (!end) {
      await this.storing;
      return undefined;
    }
    let commitment: Commitment | undefined;
    if (this.traceable()) {
      const { stop, files } = end;
      // Where it was stopped as it entered a call, it has not made it.
      const rest = this.take(stop?.at === "entry" ? end.fuel - 1 : end.fuel);
      recorder.next();
      await this.storing;
      if (this.untraced === undefined)
        commitment = await commitLarge("trace", traceToJson({ ...rest, stop, files, stdout, stderr }));
      // What is in one piece is bounded as it was gathered.
      if (commitment && this.parts > 0 && !this.fits(commitment)) commitment = undefined;
    } else await this.storing;
    if (this.untraced !== undefined) recorder.break(`an earlier run of the agent has no trace: ${this.untraced}`);
    return commitment;
  }
}
