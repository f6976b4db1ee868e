/** The run's connection to the kernel: its calls, sleeps, stops and pauses, and readings of the real clock. */
import type { Meter } from "../meter/index.ts";
import { AnswerBuffer } from "../protocol/answer-buffer.ts";
import { MAX_READINGS, MET_AT_ONCE } from "../protocol/bounds.ts";
import type { KernelMessage, Point, RunRequest, WaitMode, WorkerMessage } from "../protocol/messages.ts";

/** Thrown in a system call to end the run. The gate turns it into a trap, which no guest can catch. */
export class Halt extends Error {
  readonly limit: "asked" | "output";

  constructor(limit: "asked" | "output") {
    super(`halted: ${limit}`);
    this.limit = limit;
  }
}

export type Awaitable<T> = T | Promise<T>;

/** How the fuel is granted in slices. */
export interface Slices {
  /** Called by the guest's checks when a grant is used up. */
  refill: () => Awaitable<void>;
  /** Called now and then from system calls, whose time the meter does not count. */
  pace: () => void;
}

/** What answers a run's calls, lets it wait and stops it: the kernel, or a recording. */
export interface Outside {
  readonly wait: WaitMode;
  /** Units of the first grant. */
  readonly firstSlice: number;
  /** Called before the guest begins. @param exports of its instance */
  slices(meter: Meter, exports: WebAssembly.Exports): Slices;
  /**
   * Called at the beginning of each system call.
   *
   * @returns how many there have been
   * @throws Halt if the run has to stop here
   */
  enter(): number;
  /** Answers a request. */
  ask(run: number, request: Uint8Array<ArrayBuffer>): Awaitable<Uint8Array>;
  /** Waits `ms` milliseconds, while the guest sleeps. */
  sleep(ms: number): Awaitable<void>;
  /** Reads the real clock: whole ms since 1970, never less than the reading before. */
  now(): number;
  /** For a replay: whether the program returned only because its stack was captured, and has to be entered again. */
  again?(): boolean;
}

const START: Point = { at: "entry", systemCalls: 0, fuel: 0 };

/** Longest a timer can run, ms. */
const MAX_TIMER = 2 ** 31 - 1;

/** Work between two checks of the kernel's messages: in ms; in units, for the first slice and as a minimum. */
const SLICE_MS = 4;
const FIRST_SLICE = 1_000_000;
const LEAST_SLICE = 10_000;

/**
 * Connects a guest with the kernel. With JSPI an answer is a promise that suspends the guest; with shared memory the
 * worker sleeps in `Atomics.wait` until the kernel has written it. Either way only the guest waits.
 */
export class Bridge implements Outside {
  readonly firstSlice = FIRST_SLICE;
  /** Where the run was stopped. */
  stop: Point | null = null;
  /** What has not been reported to the kernel yet, as in `MetMessage`. */
  #changes: Point[] = [];
  #readings: number[] = [];
  /** How often the real clock was read, and its last reading. */
  #read = 0;
  #lastReading = 0;
  #run = 0;
  /** Where the guest is while it does not run. */
  #place: Point = START;
  #meter: Meter | undefined;
  #calls = 0;
  /** The answers to the first calls; and whether the kernel must not be asked for more. */
  #given: readonly Uint8Array[] = [];
  #alone = false;
  /** Whether to report that the guest begins. */
  #waited = false;
  #systemCalls = 0;
  readonly #post: (message: WorkerMessage, transfer?: Transferable[]) => void;
  readonly #answers: { state: Int32Array; bytes: Uint8Array } | undefined;
  #stopped = false;
  #paused: PromiseWithResolvers<void> | undefined;
  #parked: { call: number; resolve: (bytes: Uint8Array) => void; reject: (halt: Halt) => void } | undefined;
  readonly wait: WaitMode;

  constructor(
    post: (message: WorkerMessage, transfer?: Transferable[]) => void,
    wait: WaitMode,
    answers: SharedArrayBuffer | undefined,
  ) {
    this.#post = post;
    this.wait = wait;
    this.#answers = answers && {
      state: new Int32Array(answers, 0, 3),
      bytes: new Uint8Array(answers, AnswerBuffer.HEADER_BYTES),
    };
  }

  /** Takes what the kernel posts. */
  receive(message: KernelMessage): void {
    switch (message.vak) {
      case "stop":
        this.#stopped = true;
        this.#paused?.resolve();
        if (!this.#parked) break;
        this.stop = this.#place;
        this.#parked.reject(new Halt("asked"));
        break;
      case "pause":
        this.#paused ??= Promise.withResolvers();
        break;
      case "resume":
        this.#paused?.resolve();
        this.#paused = undefined;
        break;
      case "answer":
        if (message.call === this.#parked?.call) this.#parked.resolve(message.bytes);
    }
  }

  /** Discards the previous run's state. With shared memory the kernel clears its part before it requests the run. */
  begin({
    run,
    answers = [],
    silent = false,
    waited = false,
  }: Pick<RunRequest, "run" | "answers" | "silent" | "waited">): void {
    this.#run = run;
    this.#given = answers;
    this.#alone = silent;
    this.#waited = waited;
    this.#calls = this.#systemCalls = this.#read = 0;
    this.#stopped = false;
    this.#paused = undefined;
    this.stop = null;
    this.#changes = [];
    this.#readings = [];
    this.#lastReading = 0;
    this.#place = START;
    this.#meter = undefined;
  }

  /** The run is over: releases the guest. */
  end(): void {
    this.#meter = undefined;
  }

  /** Notes that the kernel changed a file while the guest stood still. */
  changed(): void {
    this.#changes.push(this.#place);
    if (this.#changes.length === MET_AT_ONCE) this.report();
  }

  /** Reports to the kernel what the guest met since the last report. */
  report(): void {
    if (this.#changes.length > 0 || this.#readings.length > 0) this.#report();
  }

  #report(): void {
    const run = this.#run;
    const changes = this.#changes;
    const readings = this.#readings;
    if (this.#alone) return;
    this.#changes = [];
    this.#readings = [];
    this.#post({ vak: "met", run, fuel: this.#meter?.used ?? 0, changes, readings });
  }

  /** Whether the kernel has asked the run to stop. */
  get #asked(): boolean {
    const state = this.#answers?.state;
    return this.#stopped || (state !== undefined && Atomics.load(state, AnswerBuffer.STATE) === AnswerBuffer.STOPPED);
  }

  enter(): number {
    this.#systemCalls++;
    this.#check("entry");
    return this.#systemCalls;
  }

  #at(at: Point["at"]): Point {
    this.#place = { at, systemCalls: this.#systemCalls, fuel: this.#meter?.used ?? 0 };
    return this.#place;
  }

  /** @throws Halt if the kernel has asked the run to stop */
  #check(at: Point["at"]): void {
    if (!this.#asked) return;
    this.stop = this.#at(at);
    throw new Halt("asked");
  }

  /**
   * Grants the fuel in slices of about {@link SLICE_MS}: a refill listens to the kernel, and `pace` ends a slice early
   * that system calls have made long. The guest cannot observe how it is sliced.
   */
  slices(meter: Meter): Slices {
    this.#meter = meter;
    if (this.#waited) this.#report();
    let slice = FIRST_SLICE;
    let began = performance.now();
    const grant = () => {
      if (this.#asked) {
        this.stop = this.#at("check");
        meter.stop();
      } else meter.grant(slice);
      if (this.#changes.length > 0) this.report();
      began = performance.now();
    };
    return {
      refill: () => {
        // All the fuel was granted already, and is spent.
        if (meter.exhausted) return;
        const took = performance.now() - began;
        slice = Math.max(LEAST_SLICE, Math.min(slice * 4, (slice * SLICE_MS) / Math.max(took, 0.01)));
        this.#at("check");
        const heard = this.#listen();
        return heard instanceof Promise ? heard.then(grant) : grant();
      },
      pace: () => {
        if (performance.now() - began > SLICE_MS) meter.recall();
      },
    };
  }

  /**
   * Listens to the kernel in the middle of the guest's work, and lets the guest stand still while it is paused. With
   * JSPI this takes a turn of the event loop; with shared memory, only a read of it.
   */
  #listen(): Awaitable<void> {
    if (this.wait === "jspi") return turn().then(() => this.#paused?.promise);
    const { state } = this.#answers!;
    while (Atomics.load(state, AnswerBuffer.PAUSED) === 1 && !this.#asked) {
      Atomics.wait(state, AnswerBuffer.PAUSED, 1);
    }
  }

  /** Sends a request to the kernel and returns its answer. */
  ask(run: number, request: Uint8Array<ArrayBuffer>): Awaitable<Uint8Array> {
    this.#check("entry");
    const call = ++this.#calls;
    const { fuel } = this.#at("wait");
    const given = this.#given[call - 1];
    if (given) return given;
    if (this.#alone) throw new Halt("asked");
    this.report();
    this.#post({ vak: "call", run, call, fuel, bytes: request }, [request.buffer]);
    if (this.wait === "jspi") return this.#park(call);
    const { state, bytes } = this.#answers!;
    while (Atomics.load(state, AnswerBuffer.STATE) === AnswerBuffer.IDLE) {
      Atomics.wait(state, AnswerBuffer.STATE, AnswerBuffer.IDLE);
    }
    this.#check("wait");
    const answer = bytes.slice(0, state[AnswerBuffer.LENGTH]);
    // A stop that arrives between the check and this must not be lost.
    Atomics.compareExchange(state, AnswerBuffer.STATE, AnswerBuffer.ANSWERED, AnswerBuffer.IDLE);
    return answer;
  }

  /** Sleeps in real time, until the kernel stops the run. */
  sleep(ms: number): Awaitable<void> {
    this.#check("wait");
    if (ms <= 0) return;
    this.#at("wait");
    if (this.wait === "atomics") {
      Atomics.wait(this.#answers!.state, AnswerBuffer.STATE, AnswerBuffer.IDLE, ms);
      return this.#check("wait");
    }
    const timer = setTimeout(() => this.#parked?.resolve(new Uint8Array()), Math.min(ms, MAX_TIMER));
    return this.#park(0)
      .then(() => {})
      .finally(() => clearTimeout(timer));
  }

  now(): number {
    const now = Math.max(this.#lastReading, Math.floor(performance.timeOrigin + performance.now()));
    if (++this.#read <= MAX_READINGS + 1) this.#readings.push(now - this.#lastReading);
    if (this.#readings.length === MET_AT_ONCE) this.report();
    this.#lastReading = now;
    return now;
  }

  #park(call: number): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      this.#parked = { call, resolve, reject };
    }).finally(() => {
      this.#parked = undefined;
    });
  }
}

let channel: MessageChannel | undefined;

/** One turn of the event loop, without the delay that nested timers have. */
function turn(): Promise<void> {
  if (!channel) {
    channel = new MessageChannel();
    channel.port1.start();
  }
  const { port1, port2 } = channel;
  return new Promise((resolve) => {
    port1.addEventListener("message", () => resolve(), { once: true });
    port2.postMessage(null);
  });
}
