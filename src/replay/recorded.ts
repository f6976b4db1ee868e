/** Stands where the kernel stood: answers a guest with what was recorded, and compares what it asks. */

import { withhold } from "../audit/value.ts";
import { canonicalJson } from "../base/canonical.ts";
import { VakError } from "../errors.ts";
import type { Meter } from "../meter/index.ts";
import type { Point } from "../protocol/messages.ts";
import type { Change, Met } from "../protocol/trace.ts";
import { Halt, type Outside, type Slices } from "../sandbox/bridge.ts";
import type { Volume } from "../sandbox/fs/volume.ts";
import { Errno } from "../sandbox/wasi/errno.ts";
import { withNormalUrls } from "../tool/secrets.ts";
import type { Capturer } from "./checkpoint.ts";
import type { KnownCall } from "./recording.ts";

/** Where an execution was not the recorded one. */
export interface Divergence {
  /** The id of the run: of the one that was asked for, or of one before it. */
  run: string;
  /** The number of the call at which it showed, from 1; null where it was not at a call. */
  call: number | null;
  /** Units of work done. */
  fuel: number;
  /** What was different: `input`, `fuel`, `stdout`, … */
  what: string;
  /** As it was recorded, and as it is now. */
  recorded: string;
  replayed: string;
  /** The first byte that differs, from 0, where two texts were compared. */
  byte?: number;
}

/** Where to stop and look: before call n is answered, or at the first check at which so much work was done. */
export type Until = { call: number } | { fuel: number };

/** @throws VakError `invalid-argument` */
export function checkUntil(until: Until | undefined): void {
  if (!until) return;
  const number = "call" in until ? until.call : until.fuel;
  if (Number.isSafeInteger(number) && number > 0) return;
  throw new VakError("invalid-argument", "until is { call: n } or { fuel: n }, n being a whole number from 1 on.");
}

/** What happens to a guest at a place in its work: its files are changed, or it is stopped. */
interface Happening {
  at: Point;
  /** Undefined for the stop. */
  change: Change | undefined;
}

/** Longest name of a tool in the log, UTF-16 units. */
const MAX_NAME = 128;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** How far a run is. */
export interface Progress {
  calls: number;
  readings: number;
  time: number;
  happened: number;
  systemCalls: number;
}

export class Recorded implements Outside {
  /** Answers are there at once: the guest never waits. */
  readonly wait = "atomics";
  divergence: Divergence | undefined;
  /** Why the run cannot be followed to its end, where that is no fault of its own. */
  cut: string | undefined;
  /** Of a run that was cut off: whether it has come to where its recording ends. */
  over = false;
  /** Calls made. */
  calls = 0;
  /** Whether the run was stopped where it was to be looked at, and the request that waits for its answer there. */
  reached = false;
  request: Uint8Array | undefined;
  /** What the guest's instance exports, once there is one. */
  exports: WebAssembly.Exports | undefined;
  /** Times that the real clock was read, and what it said last. */
  readings = 0;
  private time = 0;
  private readonly trace: Met;
  /** Told of each call, before it is answered. */
  onCall: ((request: Uint8Array, answer: Uint8Array | undefined) => void) | undefined;
  private readonly run: string;
  private readonly known: readonly KnownCall[];
  readonly happenings: readonly Happening[];
  private readonly volume: Volume;
  /** How many of what happens to it have happened. */
  happened = 0;
  private systemCalls = 0;
  private meter: Meter | undefined;
  private readonly lastCall: number;
  private readonly lastFuel: number;
  private readonly capturer: Capturer | undefined;
  private readonly onEnter: (() => void) | undefined;
  private readonly granted: number | undefined;
  private readonly cutOff: boolean;

  /**
   * @param trace of a run that was cut off, what it met until then: it has no `stop`
   * @param capturer captures the run on its way, or lets it go on from where it was captured
   * @param granted units granted there
   * @param onEnter called when the instance is there, before it is entered
   */
  constructor(
    run: string,
    trace: Met & { stop?: Point | null },
    known: readonly KnownCall[],
    volume: Volume,
    until: Until | undefined,
    { capturer, granted, onEnter }: { capturer?: Capturer; granted?: number; onEnter?: () => void } = {},
  ) {
    this.capturer = capturer;
    this.granted = granted;
    this.onEnter = onEnter;
    this.lastCall = until && "call" in until ? until.call : Infinity;
    this.lastFuel = until && "fuel" in until ? until.fuel : Infinity;
    this.run = run;
    this.cutOff = trace.stop === undefined;
    this.trace = trace;
    this.known = known;
    this.volume = volume;
    this.happenings = [
      ...trace.changes.flatMap((change) => (change.at ? [{ at: change.at, change }] : [])),
      ...(trace.stop ? [{ at: trace.stop, change: undefined }] : []),
    ];
  }

  /** Units of work done. */
  get fuel(): number {
    return this.meter?.used ?? 0;
  }

  /** Where a check is the next place at which something happens, and no system call comes before it. */
  private get due(): Point | undefined {
    return this.next("check")?.at;
  }

  /** Just less than was used at the check which is to ask next. */
  private get enough(): number {
    const fuel = Math.min(this.due?.fuel ?? Infinity, this.lastFuel, this.capturer?.next ?? Infinity);
    return fuel === Infinity ? Number.MAX_SAFE_INTEGER : Math.max(0, fuel - 1);
  }

  get firstSlice(): number {
    return this.granted ?? this.enough;
  }

  /** How far it is. */
  save(): Progress {
    const { calls, readings, time, happened, systemCalls } = this;
    return { calls, readings, time, happened, systemCalls };
  }

  /** Goes on from there: what came before is not compared again. */
  restore(progress: Progress): void {
    Object.assign(this, progress);
    this.divergence = undefined;
  }

  again(): boolean {
    return this.capturer?.again() ?? false;
  }

  slices(meter: Meter, exports: WebAssembly.Exports): Slices {
    this.meter = meter;
    this.exports = exports;
    if (this.granted === undefined) {
      this.happen("entry");
      this.arm();
    }
    this.onEnter?.();
    this.capturer?.attach(meter, exports);
    return { refill: () => this.refill(meter), pace: () => {} };
  }

  /**
   * A check asks for more. Where something is to happen at a check, one unit less was granted than the guest had used
   * there: so that is the check which asks.
   */
  private refill(meter: Meter): void {
    if (meter.exhausted || this.capturer?.refill()) return;
    if (meter.used >= this.lastFuel) {
      this.reached = true;
      return meter.stop();
    }
    if (this.due && this.happen("check")) return meter.stop();
    // What was granted so far: the counter is negative by what is overdrawn.
    meter.grant(this.enough - (meter.used + meter.left));
  }

  enter(): number {
    this.systemCalls++;
    if (this.happen("entry")) throw new Halt("asked");
    this.arm();
    return this.systemCalls;
  }

  /**
   * Cuts the grant, so that the check asks at which something is to happen. To be done whenever the guest goes on from
   * where the next thing to happen may have become another one.
   */
  private arm(): void {
    const { meter } = this;
    if (!meter || !this.due) return;
    meter.recall(); // the counter is at -1 now
    if (this.enough >= meter.used) meter.grant(this.enough + 1 - meter.used);
  }

  ask(_run: number, request: Uint8Array<ArrayBuffer>): Uint8Array {
    if (this.cutOff && this.calls === this.known.length) this.endHere();
    const call = this.known[this.calls++];
    if (call) this.compare(call, request);
    this.onCall?.(request, call?.answered);
    if (this.calls === this.lastCall && !this.divergence) {
      this.reached = true;
      this.request = request;
    }
    if (this.reached || this.divergence || this.happen("wait")) throw new Halt("asked");
    this.arm();
    if (call?.answered) return call.answered;
    if (call?.answer === null && this.cutOff && this.calls === this.known.length) this.endHere();
    if (!call) this.differ("calls", `${this.known.length}`, `at least ${this.calls}`, { call: this.calls });
    else if (call.answer !== null) this.cut = `what call ${this.calls} was answered is not in the bundle`;
    else this.differ("answer", "none: the run was stopped", "the program waits for one", { call: this.calls });
    throw new Halt("asked");
  }

  now(): number {
    if (this.cutOff && this.readings === this.trace.readings.length && this.meter) this.endHere();
    const since = this.trace.readings[this.readings++];
    if (since === undefined && this.meter) {
      this.differ("readings of the clock", `${this.trace.readings.length}`, "one more");
      throw new Halt("asked");
    }
    this.time += since ?? 0;
    return this.time;
  }

  /** The guest's clock has gone on already; nobody waits. */
  sleep(): void {
    if (this.happen("wait")) throw new Halt("asked");
    this.arm();
  }

  /** The recording goes no further. */
  private endHere(): never {
    this.over = true;
    throw new Halt("asked");
  }

  /** What is to happen next, if it is here. */
  private next(at: Point["at"]): Happening | undefined {
    const next = this.happenings[this.happened];
    return next?.at.at === at && next.at.systemCalls === this.systemCalls ? next : undefined;
  }

  /** Lets happen what was recorded for here. @returns whether the guest has to stop */
  private happen(at: Point["at"]): boolean {
    for (let next = this.next(at); next; next = this.next(at)) {
      const used = this.meter?.used ?? 0;
      if (at === "check" && next.at.fuel > used) return false;
      this.happened++;
      const what = next.change ? "fuel when a file was changed" : "fuel when it was stopped";
      if (next.at.fuel !== used) this.differ(what, `${next.at.fuel}`, `${used}`);
      if (!next.change || this.divergence) return true;
      applyChange(this.volume, next.change);
    }
    return false;
  }

  differ(what: string, recorded: string, replayed: string, more: { call?: number; byte?: number } = {}): void {
    const at = { run: this.run, call: more.call ?? null, fuel: this.meter?.used ?? 0 };
    this.divergence ??= { ...at, what, recorded, replayed, ...(more.byte !== undefined && { byte: more.byte }) };
  }

  private compare({ entry, elsewhere, input, fuel, requestBytes, answer }: KnownCall, bytes: Uint8Array): void {
    const call = this.calls;
    // A run may be cut off before its last call is decided.
    const undecided = this.cutOff && answer === null;
    if (!entry && !elsewhere && !undecided) return this.differ("decision", "none in the log", "a call", { call });
    let request: { tool?: unknown; input?: unknown } = {};
    let text = "";
    try {
      text = decoder.decode(bytes);
      request = JSON.parse(text) ?? {};
    } catch {} // A malformed request was recorded as one: its length and the fuel are compared.
    const tool = typeof request.tool === "string" ? request.tool.slice(0, MAX_NAME).toWellFormed() : "";
    if (entry && entry.resource !== tool && (entry.resource !== "" || input)) {
      return this.differ("tool", entry.resource, tool || text.slice(0, MAX_NAME), { call });
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
    const used = this.meter?.used ?? 0;
    if (fuel !== used) this.differ("fuel", `${fuel}`, `${used}`, { call });
  }
}

/** Answers a run that is only done over, so that its files are there: nothing of it is compared. */
export class Silent implements Outside {
  readonly wait = "atomics";
  readonly firstSlice = Number.MAX_SAFE_INTEGER;
  private readonly answers: readonly string[];
  private systemCalls = 0;
  private calls = 0;
  /** It asked for more than it was answered. */
  short = false;

  constructor(answers: readonly string[]) {
    this.answers = answers;
  }

  slices(): Slices {
    return { refill: () => {}, pace: () => {} };
  }

  enter(): number {
    return ++this.systemCalls;
  }

  ask(): Uint8Array {
    const answer = this.answers[this.calls++];
    if (answer !== undefined) return encoder.encode(answer);
    this.short = true;
    throw new Halt("asked");
  }

  sleep(): void {}

  /** The clock is virtual. */
  now(): number {
    return 0;
  }
}

/** An input as the log commits to it; what has no canonical form is spelled as JSON, and was never committed to. */
function spelled(input: unknown, { withheld, schema }: NonNullable<KnownCall["input"]>): string {
  try {
    return canonicalJson(withhold(withNormalUrls(schema, input), "", new Set(withheld), []));
  } catch {
    return JSON.stringify(input);
  }
}

/** Whether a text is another in which something was taken out. */
function isRedacted(whole: string, redacted: string): boolean {
  const [first = "", ...rest] = redacted.split("REDACTED");
  const last = rest.pop();
  if (last === undefined || !whole.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = whole.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return whole.length - last.length >= at && whole.endsWith(last);
}

/** The first byte of their UTF-8 at which two texts differ. */
export function firstDifference(one: string, other: string): number {
  const [a, b] = [encoder.encode(one), encoder.encode(other)];
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

/** Changes a file as the page did; what was refused then is refused now. */
export function applyChange(volume: Volume, { path, data }: Change): void {
  try {
    if (data) volume.seed(path, data);
    else volume.remove(path);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
  }
}
