/**
 * The outside of a replayed run: it gives the recorded answers, and compares what the guest asks with the recording.
 */
import { MAX_TOOL_NAME } from "../audit/vocabulary/call.ts";
import { clip } from "../base/clip.ts";
import type { Meter } from "../meter/index.ts";
import type { Point } from "../protocol/messages.ts";
import type { Change, Met } from "../protocol/trace.ts";
import { Halt, type Outside, type Slices } from "../sandbox/bridge.ts";
import type { Volume } from "../sandbox/fs/volume.ts";
import type { Capturer } from "./capturer.ts";
import { applyChange } from "./changes.ts";
import { type Divergence, firstDifference } from "./divergence.ts";
import { isRedacted, spelled } from "./logged-input.ts";
import type { KnownCall } from "./recording.ts";
import type { Until } from "./until.ts";

/** What happens to a guest from outside at some point: the page changes a file, or stops it. */
interface OutsideEvent {
  at: Point;
  /** Undefined if it is stopped. */
  change: Change | undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** How far a run has come. */
export interface Progress {
  calls: number;
  readings: number;
  time: number;
  eventsDone: number;
  systemCalls: number;
}

export class ComparingOutside implements Outside {
  /** Answers are there at once, so the guest never waits. */
  readonly wait = "atomics";
  divergence: Divergence | undefined;
  /** Why the run cannot be followed to its end, if the recording is to blame. */
  blockedBy: string | undefined;
  /** Calls made. */
  calls = 0;
  /** Whether the run was stopped at the point to look at, and the request that waits for its answer there. */
  reached = false;
  request: Uint8Array | undefined;
  /** The exports of the guest's instance, once there is one. */
  exports: WebAssembly.Exports | undefined;
  /** How often the real clock was read, and its last reading. */
  readings = 0;
  #time = 0;
  readonly #trace: Met;
  /** Called for each call, before it is answered. */
  onCall: ((request: Uint8Array, answer: Uint8Array | undefined) => void) | undefined;
  readonly #run: string;
  readonly #known: readonly KnownCall[];
  readonly events: readonly OutsideEvent[];
  readonly #volume: Volume;
  /** How many of the {@link events} have taken place. */
  eventsDone = 0;
  #systemCalls = 0;
  #meter: Meter | undefined;
  readonly #lastCall: number;
  readonly #lastFuel: number;
  readonly #capturer: Capturer | undefined;
  readonly #onEnter: (() => void) | undefined;
  readonly #granted: number | undefined;
  readonly #cutOff: boolean;

  /**
   * @param trace the trace of a run that was cut off has no `stop`
   * @param capturer captures the run while it executes, or resumes it from where it was captured
   * @param granted units granted by then
   * @param onEnter called when there is an instance, before it is entered
   */
  constructor(
    run: string,
    trace: Met & { stop?: Point | null },
    known: readonly KnownCall[],
    volume: Volume,
    until: Until | undefined,
    { capturer, granted, onEnter }: { capturer?: Capturer; granted?: number; onEnter?: () => void } = {},
  ) {
    this.#capturer = capturer;
    this.#granted = granted;
    this.#onEnter = onEnter;
    this.#lastCall = until && "call" in until ? until.call : Infinity;
    this.#lastFuel = until && "fuel" in until ? until.fuel : Infinity;
    this.#run = run;
    this.#cutOff = trace.stop === undefined;
    this.#trace = trace;
    this.#known = known;
    this.#volume = volume;
    this.events = [
      ...trace.changes.flatMap((change) => (change.at ? [{ at: change.at, change }] : [])),
      ...(trace.stop ? [{ at: trace.stop, change: undefined }] : []),
    ];
  }

  /** Units of work done. */
  get fuel(): number {
    return this.#meter?.used ?? 0;
  }

  /** The next event, if it is at one of the meter's checks and no system call comes before it. */
  get #due(): Point | undefined {
    return this.#next("check")?.at;
  }

  /** Just less than what has been used at the check that is to ask next. */
  get #enough(): number {
    const fuel = Math.min(this.#due?.fuel ?? Infinity, this.#lastFuel, this.#capturer?.next ?? Infinity);
    return fuel === Infinity ? Number.MAX_SAFE_INTEGER : Math.max(0, fuel - 1);
  }

  get firstSlice(): number {
    return this.#granted ?? this.#enough;
  }

  save(): Progress {
    const { calls, readings, eventsDone } = this;
    return { calls, readings, time: this.#time, eventsDone, systemCalls: this.#systemCalls };
  }

  /** Resumes from there: what came before is not compared again. */
  restore(progress: Progress): void {
    this.calls = progress.calls;
    this.readings = progress.readings;
    this.#time = progress.time;
    this.eventsDone = progress.eventsDone;
    this.#systemCalls = progress.systemCalls;
    this.divergence = undefined;
  }

  again(): boolean {
    return this.#capturer?.again() ?? false;
  }

  slices(meter: Meter, exports: WebAssembly.Exports): Slices {
    this.#meter = meter;
    this.exports = exports;
    if (this.#granted === undefined) {
      this.#applyEvents("entry");
      this.#arm();
    }
    this.#onEnter?.();
    this.#capturer?.attach(meter, exports);
    return { refill: () => this.#refill(meter), pace: () => {} };
  }

  /**
   * A check asks for more. If an event is due at a check, one unit less was granted than the guest had used
   * there, so this is the check that asks.
   */
  #refill(meter: Meter): void {
    if (meter.exhausted || this.#capturer?.refill()) return;
    if (meter.used >= this.#lastFuel) {
      this.reached = true;
      return meter.stop();
    }
    if (this.#due && this.#applyEvents("check")) return meter.stop();
    // Subtract what was already granted: the counter is negative by what is overdrawn.
    meter.grant(this.#enough - (meter.used + meter.left));
  }

  enter(): number {
    this.#systemCalls++;
    if (this.#applyEvents("entry")) throw new Halt("asked");
    this.#arm();
    return this.#systemCalls;
  }

  /**
   * Cuts the grant so that the check at which the event is due asks. Call it whenever the guest resumes from
   * where the next event may have changed.
   */
  #arm(): void {
    const meter = this.#meter;
    if (!meter || !this.#due) return;
    meter.recall(); // the counter is at -1 now
    if (this.#enough >= meter.used) meter.grant(this.#enough + 1 - meter.used);
  }

  ask(_run: number, request: Uint8Array<ArrayBuffer>): Uint8Array {
    if (this.#cutOff && this.calls === this.#known.length) this.#endHere();
    const call = this.#known[this.calls++];
    if (call) this.#compare(call, request);
    this.onCall?.(request, call?.answered);
    if (this.calls === this.#lastCall && !this.divergence) {
      this.reached = true;
      this.request = request;
    }
    if (this.reached || this.divergence || this.#applyEvents("wait")) throw new Halt("asked");
    this.#arm();
    if (call?.answered) return call.answered;
    if (call?.answer === null && this.#cutOff && this.calls === this.#known.length) this.#endHere();
    if (!call) this.differ("calls", `${this.#known.length}`, `at least ${this.calls}`, { call: this.calls });
    else if (call.answer !== null) this.blockedBy = `the answer to call ${this.calls} is not in the bundle`;
    else this.differ("answer", "none: the run was stopped", "the program waits for one", { call: this.calls });
    throw new Halt("asked");
  }

  now(): number {
    if (this.#cutOff && this.readings === this.#trace.readings.length && this.#meter) this.#endHere();
    const since = this.#trace.readings[this.readings++];
    if (since === undefined && this.#meter) {
      this.differ("readings of the clock", `${this.#trace.readings.length}`, "one more");
      throw new Halt("asked");
    }
    this.#time += since ?? 0;
    return this.#time;
  }

  /** The guest's clock has advanced already; there is nothing to wait for. */
  sleep(): void {
    if (this.#applyEvents("wait")) throw new Halt("asked");
    this.#arm();
  }

  /** The recording ends here. */
  #endHere(): never {
    throw new Halt("asked");
  }

  /** The next event, if it is here. */
  #next(at: Point["at"]): OutsideEvent | undefined {
    const next = this.events[this.eventsDone];
    return next?.at.at === at && next.at.systemCalls === this.#systemCalls ? next : undefined;
  }

  /** Does what was recorded for this point. @returns whether the guest has to stop */
  #applyEvents(at: Point["at"]): boolean {
    for (let next = this.#next(at); next; next = this.#next(at)) {
      const used = this.#meter?.used ?? 0;
      if (at === "check" && next.at.fuel > used) return false;
      this.eventsDone++;
      const what = next.change ? "fuel when a file was changed" : "fuel when it was stopped";
      if (next.at.fuel !== used) this.differ(what, `${next.at.fuel}`, `${used}`);
      if (!next.change || this.divergence) return true;
      applyChange(this.#volume, next.change);
    }
    return false;
  }

  differ(what: string, recorded: string, replayed: string, more: { call?: number; byte?: number } = {}): void {
    const at = { run: this.#run, call: more.call ?? null, fuel: this.#meter?.used ?? 0 };
    this.divergence ??= { ...at, what, recorded, replayed, ...(more.byte !== undefined && { byte: more.byte }) };
  }

  #compare({ entry, elsewhere, input, fuel, requestBytes, answer }: KnownCall, bytes: Uint8Array): void {
    const call = this.calls;
    // A run may have been cut off before its last call was decided.
    const undecided = this.#cutOff && answer === null;
    if (!entry && !elsewhere && !undecided) return this.differ("decision", "none in the log", "a call", { call });
    let request: { tool?: unknown; input?: unknown } = {};
    let text = "";
    try {
      text = decoder.decode(bytes);
      request = JSON.parse(text) ?? {};
    } catch {} // A malformed request was recorded as such: its length and the fuel are compared.
    const tool = typeof request.tool === "string" ? clip(request.tool, MAX_TOOL_NAME) : "";
    if (entry && entry.resource !== tool && (entry.resource !== "" || input)) {
      return this.differ("tool", entry.resource, tool || clip(text, MAX_TOOL_NAME), { call });
    }
    if (input) {
      const asked = spelled(request.input ?? {}, input);
      const redacted = entry && "redacted" in entry && entry.redacted;
      if (asked !== input.json && !(redacted && isRedacted(asked, input.json))) {
        return this.differ("input", input.json, asked, { call, byte: firstDifference(input.json, asked) });
      }
    } else if (requestBytes !== bytes.byteLength) {
      return this.differ("length of the request", `${requestBytes}`, `${bytes.byteLength}`, { call });
    }
    const used = this.#meter?.used ?? 0;
    if (fuel !== used) this.differ("fuel", `${fuel}`, `${used}`, { call });
  }
}
