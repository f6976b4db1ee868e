/** Records what one run takes in from outside, and stores it in the log in parts while the run is under way. */

import { type Commitment, commitLarge } from "../audit/value.ts";
import { fromUtf8 } from "../base/utf8.ts";
import { MAX_READINGS } from "../protocol/bounds.ts";
import type { Finished, MetMessage, Point } from "../protocol/messages.ts";
import {
  type ForkPoint,
  type Part,
  type RecordedCall,
  type RunInput,
  type RunPrefix,
  type StreamDigest,
  TRACE_BYTES,
} from "../protocol/trace.ts";
import { base64Length, inputToJson, partToJson, prefixToJson, traceToJson } from "../protocol/trace-json.ts";
import type { PageChanges } from "./page-changes.ts";

/** Approximate bytes of JSON in a trace: of a call without its answer, and of a reading of the clock. */
const CALL_BYTES = 32;
const READING_BYTES = 4;

/**
 * What a run has met is stored once it exceeds about this many bytes of JSON, or this many ms after the first of it. A
 * run that stays below both has its whole trace beside its end.
 */
const PART_BYTES = 64 * 1024;
const PART_MS = 1000;

export class RunRecorder {
  /** Why there will be no trace. */
  untraced: string | undefined;
  readonly #changes: PageChanges;
  readonly #store: (part: number, commitment: Commitment) => Promise<unknown>;
  /** See `Met.before`; and the calls that the run continues, except those that the guest is known to have made. */
  #runsBefore: RunPrefix[] = [];
  #given: RecordedCall[] = [];
  /** Changes that the worker gets before it gets the run. */
  #before = 0;
  /** While the guest may be at work. */
  #running = false;
  /** Not stored yet: points at which changes were seen, calls, the answer to a stored call, readings of the clock. */
  #points: Point[] = [];
  #calls: RecordedCall[] = [];
  #answered: string | number | undefined;
  #readings: number[] = [];
  /** Approximate bytes of JSON of that; and the time of the first of it. */
  #held = 0;
  #since = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Units of work done as of the worker's last message. */
  #fuel = 0;
  /** Of the whole run: approximate bytes of calls; and readings. */
  #callBytes = 0;
  #read = 0;
  /** Parts that are stored or being stored, one after the other, and their bytes. */
  #parts = 0;
  #partBytes = 0;
  #storing: Promise<void> = Promise.resolve();

  /** @internal Made by `Recorder.run`. */
  constructor(
    changes: PageChanges,
    traced: boolean,
    store: (part: number, commitment: Commitment) => Promise<unknown>,
  ) {
    this.#changes = changes;
    this.#store = store;
    this.untraced = changes.broken ?? (traced ? undefined : "the page asked for no trace");
  }

  /** Commits to what the run is given, unless there will be no trace. */
  async input(input: RunInput): Promise<Commitment | undefined> {
    const bytes = base64Length(input.stdin.byteLength) + JSON.stringify(input.env).length;
    if (bytes > TRACE_BYTES) this.untraced ??= "stdin and the environment are larger than a trace may be";
    return this.untraced === undefined ? commitLarge("input", inputToJson(input)) : undefined;
  }

  /**
   * The run continues a recorded one: its first calls have their answers, and that one's earlier runs come before it.
   */
  continue({ runs }: ForkPoint): void {
    this.#runsBefore = runs.slice(0, -1);
    this.#given = [...(runs.at(-1)?.calls ?? [])];
    this.#callBytes = JSON.stringify([this.#given, this.#runsBefore.map(prefixToJson)]).length;
  }

  /** The worker is about to get the run. */
  enter(): void {
    this.#running = true;
    this.#before = this.#changes.waiting;
  }

  /** The worker reports what the guest met. False where that is impossible. */
  met({ fuel, changes, readings }: MetMessage): boolean {
    if (!this.#running) return false;
    // A worker reports one reading beyond the bound, so that it shows.
    if (this.#read + readings.length > MAX_READINGS + 1) return false;
    this.#read += readings.length;
    if (this.#read > MAX_READINGS) this.untraced ??= `the clock was read more than ${MAX_READINGS} times`;
    this.untraced ??= this.#changes.broken;
    if (this.untraced !== undefined) return true;
    if (this.#before + this.#points.length + changes.length > this.#changes.waiting) return false;
    if (changes.length === 0 && readings.length === 0) return true;
    const bytes = this.#changes.bytesOf(this.#before + this.#points.length, changes.length);
    for (const point of changes) this.#points.push(point);
    for (const reading of readings) this.#readings.push(reading);
    this.#fuel = Math.max(this.#fuel, fuel);
    this.#hold(bytes + readings.length * READING_BYTES);
    this.#storeIfDue();
    return true;
  }

  /** The guest makes its next call. */
  call(fuel: number, request: Uint8Array): void {
    this.#calls.push({ fuel, requestBytes: request.byteLength, answer: null });
    this.#fuel = Math.max(this.#fuel, fuel);
    this.#hold(CALL_BYTES);
  }

  /** The guest gets the answer. @param kept the `seq` of the outcome beside which the answer is kept, if it is */
  answer(bytes: Uint8Array, kept: number | undefined): void {
    const answer = kept ?? fromUtf8(bytes);
    const call = this.#calls.at(-1);
    if (call) call.answer = answer;
    else this.#answered = answer;
    // Escaping at most doubles it.
    const length = kept === undefined ? 2 * bytes.byteLength : 0;
    this.#callBytes += CALL_BYTES + length;
    this.#hold(length);
    this.#storeIfDue();
  }

  #hold(bytes: number): void {
    this.#held += bytes;
    if (this.#timer === undefined) {
      this.#since = performance.now();
      this.#timer = setTimeout(() => this.#storePart(), PART_MS);
    }
  }

  /** Not before the guest has its answer. Does not rely on the timer, which may be a minute late on a hidden page. */
  #storeIfDue(): void {
    if (this.#held >= PART_BYTES || performance.now() - this.#since >= PART_MS) queueMicrotask(() => this.#storePart());
  }

  /** Stores what is not stored yet. Only the run's end waits for it. */
  #storePart(): void {
    if (this.#timer === undefined) return;
    this.#release();
    if (!this.#traceable()) return;
    const part = partToJson({ ...this.#take(this.#fuel), fuel: this.#fuel });
    const number = ++this.#parts;
    this.#storing = this.#storing.then(async () => {
      const commitment = await commitLarge("trace", part);
      if (this.#fits(commitment)) await this.#store(number, commitment);
    });
    // A failed append fails the log, which ends the run. In any case the trace has a gap.
    this.#storing = this.#storing.catch(() => {
      this.untraced ??= "a part of its trace could not be stored";
    });
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#held = 0;
  }

  #traceable(): boolean {
    if (this.#callBytes > TRACE_BYTES) this.untraced ??= "the calls and their answers are larger than a trace may be";
    this.untraced ??= this.#changes.broken;
    return this.untraced === undefined;
  }

  #fits({ file }: Commitment): boolean {
    this.#partBytes += file.byteLength;
    if (this.#partBytes > TRACE_BYTES) this.untraced ??= "what it met is larger than a trace may be";
    return this.untraced === undefined;
  }

  /** @param fuel units of work done by now */
  #take(fuel: number): Part {
    const before = this.#runsBefore;
    const readings = this.#readings;
    const answered = this.#answered;
    const made = this.#given.filter((call) => call.fuel <= fuel);
    this.#given = this.#given.slice(made.length);
    const calls = [...made, ...this.#calls];
    const changes = this.#changes.take(this.#before, this.#points);
    this.#before = 0;
    this.#runsBefore = [];
    this.#points = [];
    this.#calls = [];
    this.#readings = [];
    this.#answered = undefined;
    return { before, changes, calls, readings, ...(answered !== undefined && { answer: answered }) };
  }

  /**
   * The run has ended. Waits for what is being stored, and commits to the rest; or finds why there is no trace, which
   * holds for the agent's later runs too.
   *
   * @param end undefined where the worker was lost or the run never began
   */
  async trace(end: Finished | undefined, stdout: StreamDigest, stderr: StreamDigest): Promise<Commitment | undefined> {
    const changes = this.#changes;
    this.#running = false;
    this.#release();
    if (!end) {
      await this.#storing;
      return undefined;
    }
    let commitment: Commitment | undefined;
    if (this.#traceable()) {
      const { stop, files } = end;
      // A run that was stopped as it entered a call has not made it.
      const rest = this.#take(stop?.at === "entry" ? end.fuel - 1 : end.fuel);
      changes.next();
      await this.#storing;
      if (this.untraced === undefined)
        commitment = await commitLarge("trace", traceToJson({ ...rest, stop, files, stdout, stderr }));
      // A trace in one piece was bounded as it was gathered.
      if (commitment && this.#parts > 0 && !this.#fits(commitment)) commitment = undefined;
    } else await this.#storing;
    if (this.untraced !== undefined) changes.break(`an earlier run of the agent has no trace: ${this.untraced}`);
    return commitment;
  }
}
