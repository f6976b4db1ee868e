/** Captures a run while it executes, or resumes one that was captured: contents, stack and fuel. */
import { DEPTH_EXPORT, type Meter } from "../meter/index.ts";
import { bytesOf, type Contents, memoryOf, putBack, restoreContents, saveContents } from "./contents.ts";
import type { Capturable } from "./stack/capturable.ts";
import { HERE_EXPORT, POINTER_EXPORT, REWINDING, RUNNING, STATE_EXPORT, UNWINDING } from "./stack/exports.ts";

/** Units of work after which to try again, where the stack could not be captured. */
const RETRY = 100_000;

/** Bytes of a capture besides the frames. */
const SPARE_BYTES = 1024;
/** Words of the smallest frame, as the meter counts. */
const LEAST_FRAME = 4;

const NO_FRAMES = new Uint8Array();

/** A run in progress, at a check of the meter. */
export interface Capture {
  contents: Contents;
  /** The stack, as the guest wrote it. */
  frames: Uint8Array;
  /** Units of work done, and granted. */
  fuel: number;
  granted: number;
}

export class Capturer {
  /** Units of work after which the next capture is wanted. */
  next: number;
  readonly #program: Capturable;
  readonly #every: number;
  readonly #stackDepth: number;
  readonly #onCapture: (capture: Capture) => void;
  #meter!: Meter;
  #exports!: WebAssembly.Exports;
  #current: Capture | undefined;

  /**
   * @param every units of work between two captures
   * @param after units of work up to which no capture is wanted
   * @param onCapture called with each, while the guest is halted there
   * @param from where to resume, instead of at the beginning
   */
  constructor(
    program: Capturable,
    { every, after }: { every: number; after: number },
    stackDepth: number,
    onCapture: (capture: Capture) => void,
    from?: Capture,
  ) {
    this.#program = program;
    this.#every = every;
    this.#stackDepth = stackDepth;
    this.#onCapture = onCapture;
    this.#current = from;
    this.next = Math.max(after, from?.fuel ?? 0) + every;
  }

  #global(name: string): WebAssembly.Global {
    return this.#exports[name] as WebAssembly.Global;
  }

  /** The instance exists, and is about to be entered. */
  attach(meter: Meter, exports: WebAssembly.Exports): void {
    this.#meter = meter;
    this.#exports = exports;
    if (!this.#current) return;
    restoreContents(exports, this.#current.contents);
    this.#rewind(this.#current);
  }

  #rewind({ frames }: Capture): void {
    bytesOf(this.#exports).set(frames);
    this.#global(POINTER_EXPORT).value = frames.byteLength;
    this.#global(STATE_EXPORT).value = REWINDING;
  }

  /**
   * A check asks for more fuel.
   *
   * @returns whether it gets none because the stack unwinds
   */
  refill(): boolean {
    const meter = this.#meter;
    const exports = this.#exports;
    const state = this.#global(STATE_EXPORT);
    if (state.value === REWINDING) {
      putBack(exports, this.#current!.contents, this.#current!.frames.byteLength);
      state.value = RUNNING;
      return false;
    }
    if (meter.used < this.next) return false;
    this.next = meter.used + Math.min(RETRY, this.#every);
    if (this.#global(HERE_EXPORT).value === 0) return false;
    this.next = meter.used + this.#every;
    if (!this.#hasRoom()) return false;
    const contents = saveContents(exports, this.#program, this.#current?.contents);
    if (!contents) return false;
    this.#current = { contents, frames: NO_FRAMES, fuel: meter.used, granted: meter.used + meter.left };
    this.#global(POINTER_EXPORT).value = 0;
    state.value = UNWINDING;
    return true;
  }

  /** Whether the frames fit into the guest's memory, however many share the words that are in use. */
  #hasRoom(): boolean {
    const words = this.#stackDepth - (this.#exports[DEPTH_EXPORT] as () => number)();
    const most = 8 * words + (words / LEAST_FRAME) * this.#program.frameExtra + SPARE_BYTES;
    return (memoryOf(this.#exports)?.buffer.byteLength ?? 0) >= most;
  }

  /** The program has returned. @returns whether it must be entered again because its stack was only captured */
  again(): boolean {
    if (this.#global(STATE_EXPORT).value !== UNWINDING) return false;
    this.#current!.frames = bytesOf(this.#exports).slice(0, this.#global(POINTER_EXPORT).value);
    this.#onCapture(this.#current!);
    this.#rewind(this.#current!);
    return true;
  }
}
