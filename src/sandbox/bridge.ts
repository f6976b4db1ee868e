import { AnswerBuffer, type KernelMessage, type WaitMode, type WorkerMessage } from "../protocol.ts";

/** Ends the run from inside a system call. The gate turns it into a trap, which no guest can catch. */
export class Halt extends Error {
  readonly limit: "asked" | "output";

  constructor(limit: "asked" | "output") {
    super(`halted: ${limit}`);
    this.limit = limit;
  }
}

export type Awaitable<T> = T | Promise<T>;

/** Longest a timer can run, ms. */
const MAX_TIMER = 2 ** 31 - 1;

/**
 * Where a guest waits. With JSPI an answer is a promise that suspends the guest; with shared memory the worker sleeps
 * in `Atomics.wait` until the kernel has written it. Either way the guest is the only one waiting.
 */
export class Bridge {
  private calls = 0;
  private readonly post: (message: WorkerMessage, transfer?: Transferable[]) => void;
  private readonly answers: { state: Int32Array; bytes: Uint8Array } | undefined;
  private stopped = false;
  private paused: PromiseWithResolvers<void> | undefined;
  private parked: { call: number; resolve: (bytes: Uint8Array) => void; reject: (halt: Halt) => void } | undefined;
  readonly wait: WaitMode;

  constructor(
    post: (message: WorkerMessage, transfer?: Transferable[]) => void,
    wait: WaitMode,
    answers: SharedArrayBuffer | undefined,
  ) {
    this.post = post;
    this.wait = wait;
    this.answers = answers && {
      state: new Int32Array(answers, 0, 3),
      bytes: new Uint8Array(answers, AnswerBuffer.HEADER_BYTES),
    };
  }

  /** What the kernel posts lands here. */
  receive(message: KernelMessage): void {
    switch (message.vak) {
      case "stop":
        this.stopped = true;
        this.paused?.resolve();
        this.parked?.reject(new Halt("asked"));
        break;
      case "pause":
        this.paused ??= Promise.withResolvers();
        break;
      case "resume":
        this.paused?.resolve();
        this.paused = undefined;
        break;
      case "answer":
        if (message.call === this.parked?.call) this.parked.resolve(message.bytes);
    }
  }

  /** Forgets the run before. With shared memory the kernel clears the state before it asks for the run. */
  begin(): void {
    this.calls = 0;
    this.stopped = false;
    this.paused = undefined;
  }

  /** The kernel has asked the run to stop. */
  get asked(): boolean {
    const state = this.answers?.state;
    return this.stopped || (state !== undefined && Atomics.load(state, AnswerBuffer.STATE) === AnswerBuffer.STOPPED);
  }

  /** @throws Halt when the kernel has asked the run to stop */
  check(): void {
    if (this.asked) throw new Halt("asked");
  }

  /**
   * Lets the kernel be heard in the middle of the guest's work, and the guest stand still while it is paused. With JSPI
   * that takes a turn of the event loop; shared memory is only looked at.
   */
  listen(): Awaitable<void> {
    if (this.wait === "jspi") return turn().then(() => this.paused?.promise);
    const { state } = this.answers!;
    while (Atomics.load(state, AnswerBuffer.PAUSED) === 1 && !this.asked) {
      Atomics.wait(state, AnswerBuffer.PAUSED, 1);
    }
  }

  /** Sends a request to the kernel and gives its answer. */
  ask(run: number, request: Uint8Array<ArrayBuffer>): Awaitable<Uint8Array> {
    this.check();
    const call = ++this.calls;
    this.post({ vak: "call", run, call, bytes: request }, [request.buffer]);
    if (this.wait === "jspi") return this.park(call);
    const { state, bytes } = this.answers!;
    while (Atomics.load(state, AnswerBuffer.STATE) === AnswerBuffer.IDLE) {
      Atomics.wait(state, AnswerBuffer.STATE, AnswerBuffer.IDLE);
    }
    this.check();
    const answer = bytes.slice(0, state[AnswerBuffer.LENGTH]);
    // A stop that comes between the check and here must not be lost.
    Atomics.compareExchange(state, AnswerBuffer.STATE, AnswerBuffer.ANSWERED, AnswerBuffer.IDLE);
    return answer;
  }

  /** Sleeps in real time, until the kernel stops the run. */
  sleep(ms: number): Awaitable<void> {
    this.check();
    if (ms <= 0) return;
    if (this.wait === "atomics") {
      Atomics.wait(this.answers!.state, AnswerBuffer.STATE, AnswerBuffer.IDLE, ms);
      return this.check();
    }
    const timer = setTimeout(() => this.parked?.resolve(new Uint8Array()), Math.min(ms, MAX_TIMER));
    return this.park(0)
      .then(() => {})
      .finally(() => clearTimeout(timer));
  }

  private park(call: number): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      this.parked = { call, resolve, reject };
    }).finally(() => {
      this.parked = undefined;
    });
  }
}

const channel = new MessageChannel();
channel.port1.start();

/** One turn of the event loop, without the delay that timers come to have. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    channel.port1.addEventListener("message", () => resolve(), { once: true });
    channel.port2.postMessage(null);
  });
}
