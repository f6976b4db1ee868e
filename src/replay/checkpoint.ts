/** Copies of a run on its way, from which it can go on: memory, globals, stack, files and what the sandbox keeps. */
import { DEPTH_EXPORT, type Meter } from "../meter/index.ts";
import type { Volume, VolumeState } from "../sandbox/fs/volume.ts";
import type { Process, ProcessState } from "../sandbox/wasi/process.ts";
import {
  type Capturable,
  HERE_EXPORT,
  LOAD_EXPORT,
  POINTER_EXPORT,
  REWINDING,
  RUNNING,
  SAVE_EXPORT,
  STATE_EXPORT,
  UNWINDING,
} from "./stack.ts";

const PAGE_BYTES = 65_536;
const ZEROS = new Uint8Array(PAGE_BYTES);

/** Units of work after which it is tried again, where the stack could not be captured. */
const RETRY = 100_000;

/** Bytes of a capture besides the frames. */
const SPARE_BYTES = 1024;
/** Words of the smallest frame, as the meter counts. */
const LEAST_FRAME = 4;

/** What is kept of bytes; what has not changed since the checkpoint before is kept once. */
export class Kept {
  private readonly copies = new WeakMap<Uint8Array, Uint8Array>();

  copy(live: Uint8Array): Uint8Array {
    const before = this.copies.get(live);
    if (before && isEqual(before, live)) return before;
    const copy = live.slice();
    this.copies.set(live, copy);
    return copy;
  }

  revive(copy: Uint8Array): Uint8Array {
    const live = copy.slice();
    this.copies.set(live, copy);
    return live;
  }
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.byteLength !== other.byteLength) return false;
  let at = 0;
  if (one.byteOffset % 8 === 0 && other.byteOffset % 8 === 0) {
    const words = Math.floor(one.byteLength / 8);
    const a = new BigUint64Array(one.buffer, one.byteOffset, words);
    const b = new BigUint64Array(other.buffer, other.byteOffset, words);
    for (let n = 0; n < words; n++) if (a[n] !== b[n]) return false;
    at = words * 8;
  }
  for (; at < one.byteLength; at++) if (one[at] !== other[at]) return false;
  return true;
}

/**
 * A copy of what an object holds, and of what that holds; functions are shared.
 *
 * @param same what stands for what in the copy, or is shared; is added to
 */
function copyState<T>(value: T, bytes: (source: Uint8Array) => Uint8Array, same: Map<object, object>): T {
  const copy = (source: unknown): unknown => {
    if (typeof source !== "object" || source === null) return source;
    const known = same.get(source);
    if (known) return known;
    const note = <Made extends object>(made: Made): Made => {
      same.set(source, made);
      return made;
    };
    if (source instanceof Uint8Array) return note(bytes(source));
    if (source instanceof Map) {
      const made = note(new Map<unknown, unknown>());
      for (const [key, item] of source) made.set(key, copy(item));
      return made;
    }
    const made = note(Array.isArray(source) ? [] : Object.create(Object.getPrototypeOf(source)));
    for (const [key, item] of Object.entries(source)) made[key] = copy(item);
    return made;
  };
  return copy(value) as T;
}

/** What the sandbox keeps of a guest, apart from its instance. */
export interface Host {
  volume: VolumeState;
  process: ProcessState | undefined;
  /** Bytes that the run may still print. */
  remaining: number;
  /** All the bytes that it has, of which others may have some too. */
  held: Uint8Array[];
}

export function saveHost(volume: Volume, process: Process | undefined, kept: Kept): Host {
  const live = process?.save();
  live?.outlet.flush();
  const same = new Map<object, object>([[volume, volume]]);
  if (live) same.set(live.outlet, live.outlet);
  const held: Uint8Array[] = [];
  const hold = (bytes: Uint8Array) => {
    const copy = kept.copy(bytes);
    held.push(copy);
    return copy;
  };
  const copied = copyState({ volume: volume.save(), process: live }, hold, same);
  return { ...copied, remaining: live?.outlet.remaining ?? 0, held };
}

/** Puts it back, but for the clock; of a process, into a run that has begun. */
export function restoreHost(host: Host, volume: Volume, process: Process | undefined, kept: Kept): void {
  const same = new Map<object, object>([[volume, volume]]);
  const outlet = process?.save().outlet;
  if (outlet && host.process) {
    same.set(host.process.outlet, outlet);
    outlet.remaining = host.remaining;
  }
  const { volume: files, process: state } = copyState(
    { volume: host.volume, process: host.process },
    (bytes) => kept.revive(bytes),
    same,
  );
  volume.restore(files);
  if (state) process?.restore(state);
}

/** Memory and mutable globals of an instance. Its tables do not change, or there is no copy of it. */
export interface Contents {
  pages: readonly Uint8Array[];
  globals: Uint8Array;
}

const memoryOf = (exports: WebAssembly.Exports): WebAssembly.Memory | undefined =>
  exports.memory instanceof WebAssembly.Memory ? exports.memory : undefined;

const bytesOf = (exports: WebAssembly.Exports): Uint8Array => new Uint8Array(memoryOf(exports)!.buffer);

/** @param before an earlier copy, with which pages that are equal are shared */
export function saveContents(
  exports: WebAssembly.Exports,
  { globalBytes }: Capturable,
  before: Contents | undefined,
): Contents | undefined {
  const memory = memoryOf(exports);
  if (!memory || memory.buffer.byteLength < globalBytes) return undefined;
  const bytes = new Uint8Array(memory.buffer);
  const pages: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += PAGE_BYTES) {
    const page = bytes.subarray(at, at + PAGE_BYTES);
    const same = [before?.pages[pages.length], ZEROS].find((known) => known && isEqual(known, page));
    pages.push(same ?? page.slice());
  }
  (exports[SAVE_EXPORT] as () => void)();
  const globals = bytes.slice(0, globalBytes);
  putBack(exports, { pages, globals }, globalBytes);
  return { pages, globals };
}

/** Writes the first `length` bytes of the memory as they were. */
function putBack(exports: WebAssembly.Exports, { pages }: Contents, length: number): void {
  const bytes = bytesOf(exports);
  for (let n = 0; n * PAGE_BYTES < length; n++) bytes.set(pages[n]!, n * PAGE_BYTES);
}

/** Makes a fresh instance what another one was. */
export function restoreContents(exports: WebAssembly.Exports, contents: Contents): void {
  const memory = memoryOf(exports)!;
  const missing = contents.pages.length - memory.buffer.byteLength / PAGE_BYTES;
  if (missing > 0) memory.grow(missing);
  const bytes = bytesOf(exports);
  bytes.set(contents.globals);
  (exports[LOAD_EXPORT] as () => void)();
  contents.pages.forEach((page, n) => {
    bytes.set(page, n * PAGE_BYTES);
  });
}

/** A run on its way, at a check of the meter. */
export interface Capture {
  contents: Contents;
  /** The stack, as the guest has written it. */
  frames: Uint8Array;
  /** Units of work done, and granted. */
  fuel: number;
  granted: number;
}

/** Captures a run while it is at work, or lets one go on that was captured. */
export class Capturer {
  /** Units of work from which on the next capture is wanted. */
  next: number;
  private readonly program: Capturable;
  private readonly every: number;
  private readonly stackDepth: number;
  private readonly onCapture: (capture: Capture) => void;
  private meter!: Meter;
  private exports!: WebAssembly.Exports;
  private current: Capture | undefined;

  /**
   * @param every units of work between two captures
   * @param stackDepth words that the stack may have
   * @param onCapture told of each, while the guest stands still there
   * @param after no capture is wanted up to there
   * @param from where to go on, instead of at the beginning
   */
  constructor(
    program: Capturable,
    { every, after }: { every: number; after: number },
    stackDepth: number,
    onCapture: (capture: Capture) => void,
    from?: Capture,
  ) {
    this.program = program;
    this.every = every;
    this.stackDepth = stackDepth;
    this.onCapture = onCapture;
    this.current = from;
    this.next = Math.max(after, from?.fuel ?? 0) + every;
  }

  private global(name: string): WebAssembly.Global {
    return this.exports[name] as WebAssembly.Global;
  }

  /** The instance is there, and about to be entered. */
  attach(meter: Meter, exports: WebAssembly.Exports): void {
    this.meter = meter;
    this.exports = exports;
    if (!this.current) return;
    restoreContents(exports, this.current.contents);
    this.rewind(this.current);
  }

  private rewind({ frames }: Capture): void {
    bytesOf(this.exports).set(frames);
    this.global(POINTER_EXPORT).value = frames.byteLength;
    this.global(STATE_EXPORT).value = REWINDING;
  }

  /**
   * A check asks for more fuel.
   *
   * @returns whether it gets none, since the stack unwinds
   */
  refill(): boolean {
    const { meter, exports } = this;
    const state = this.global(STATE_EXPORT);
    if (state.value === REWINDING) {
      putBack(exports, this.current!.contents, this.current!.frames.byteLength);
      state.value = RUNNING;
      return false;
    }
    if (meter.used < this.next) return false;
    this.next = meter.used + Math.min(RETRY, this.every);
    if (this.global(HERE_EXPORT).value === 0) return false;
    this.next = meter.used + this.every;
    if (!this.hasRoom()) return false;
    const contents = saveContents(exports, this.program, this.current?.contents);
    if (!contents) return false;
    this.current = { contents, frames: ZEROS, fuel: meter.used, granted: meter.used + meter.left };
    this.global(POINTER_EXPORT).value = 0;
    state.value = UNWINDING;
    return true;
  }

  /** Whether the frames have room in the guest's memory, however they are divided among the words that are used. */
  private hasRoom(): boolean {
    const words = this.stackDepth - (this.exports[DEPTH_EXPORT] as () => number)();
    const most = 8 * words + (words / LEAST_FRAME) * this.program.frameExtra + SPARE_BYTES;
    return (memoryOf(this.exports)?.buffer.byteLength ?? 0) >= most;
  }

  /** The program has returned. @returns whether it is to be entered again, since its stack was only captured */
  again(): boolean {
    if (this.global(STATE_EXPORT).value !== UNWINDING) return false;
    this.current!.frames = bytesOf(this.exports).slice(0, this.global(POINTER_EXPORT).value);
    this.onCapture(this.current!);
    this.rewind(this.current!);
    return true;
  }
}
