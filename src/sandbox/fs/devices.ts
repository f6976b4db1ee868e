/** Streams and devices: standard input and output, and `/dev/vak`, by which any program can call a tool. */

import { wasi } from "@bjorn3/browser_wasi_shim";
import { joinBytes } from "../../base/bytes.ts";
import { toUtf8 } from "../../base/utf8.ts";
import { OUTPUT_CHUNK } from "../../protocol/bounds.ts";
import { type Awaitable, Halt } from "../bridge.ts";
import { fail } from "../preview1/errno.ts";
import { RIGHT_FD_READ, RIGHT_FD_WRITE, STREAM_RIGHTS } from "../preview1/rights.ts";
import { Description } from "./description.ts";

const NEWLINE = 0x0a;

/** Something that is read or written in order and has no position. */
export abstract class Stream extends Description {
  override pread(): never {
    fail(wasi.ERRNO_SPIPE);
  }

  override pwrite(): never {
    fail(wasi.ERRNO_SPIPE);
  }
}

/** Standard input: bytes given before the run began. Not a terminal, so its type is left unknown. */
export class Input extends Stream {
  readonly rights = RIGHT_FD_READ | STREAM_RIGHTS;
  readonly filetype = wasi.FILETYPE_UNKNOWN;
  position = 0;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super();
    this.bytes = bytes;
  }

  override get readable(): number {
    return this.bytes.byteLength - this.position;
  }

  override read(size: number): Uint8Array {
    const data = this.bytes.subarray(this.position, this.position + size);
    this.position += data.byteLength;
    return data;
  }
}

/** How many messages output may send at once, and after how many ms it may send another. */
const CREDITS = 64;
const CREDIT_MS = 2;

/**
 * Output on its way to the page. It goes out as soon as it is written, but a flood is gathered into large messages, so
 * that a guest that writes byte by byte cannot drown the page. At the limit the run halts.
 */
export class Outlet {
  /** Bytes that may still be printed. */
  remaining: number;
  #credits = CREDITS;
  #refilled = performance.now();
  readonly #waiting: Record<1 | 2, Uint8Array<ArrayBuffer>[]> = { 1: [], 2: [] };
  #waitingBytes = 0;
  readonly #send: (fd: 1 | 2, bytes: Uint8Array<ArrayBuffer>) => void;

  constructor(limit: number, send: (fd: 1 | 2, bytes: Uint8Array<ArrayBuffer>) => void) {
    this.remaining = limit;
    this.#send = send;
  }

  /** @throws Halt `output` past the limit, after sending what still fitted */
  write(fd: 1 | 2, data: Uint8Array): void {
    const fits = data.slice(0, this.remaining);
    this.remaining -= fits.byteLength;
    // Keeps the order of stdout and stderr relative to each other, unless it is a flood.
    if (this.#waiting[fd === 1 ? 2 : 1].length > 0 && this.#takeCredit()) this.flush();
    if (fits.byteLength > 0) {
      this.#waiting[fd].push(fits);
      this.#waitingBytes += fits.byteLength;
    }
    if (this.#waitingBytes >= OUTPUT_CHUNK || this.#takeCredit()) this.flush();
    if (fits.byteLength < data.byteLength) {
      this.flush();
      throw new Halt("output");
    }
  }

  flush(): void {
    for (const fd of [1, 2] as const) {
      const chunks = this.#waiting[fd];
      if (chunks.length === 0) continue;
      const all = chunks.length === 1 ? chunks[0]! : joinBytes(chunks);
      chunks.length = 0;
      for (let at = 0; at < all.byteLength; at += OUTPUT_CHUNK) this.#send(fd, all.slice(at, at + OUTPUT_CHUNK));
    }
    this.#waitingBytes = 0;
  }

  #takeCredit(): boolean {
    const now = performance.now();
    const earned = Math.floor((now - this.#refilled) / CREDIT_MS);
    if (earned > 0) {
      this.#credits = Math.min(CREDITS, this.#credits + earned);
      this.#refilled = now;
    }
    if (this.#credits === 0) return false;
    this.#credits--;
    return true;
  }
}

/** Standard output or error. Not a terminal. */
export class Output extends Stream {
  readonly rights = RIGHT_FD_WRITE | STREAM_RIGHTS;
  readonly filetype = wasi.FILETYPE_UNKNOWN;
  readonly outlet: Outlet;
  readonly fd: 1 | 2;

  constructor(outlet: Outlet, fd: 1 | 2) {
    super();
    this.outlet = outlet;
    this.fd = fd;
  }

  override write(data: Uint8Array): number {
    this.outlet.write(this.fd, data);
    return data.byteLength;
  }
}

/**
 * `/dev/vak`: each line written is a call, and its answer is the next line to read. The write returns once the answer
 * is there.
 */
export class CallDevice extends Stream {
  readonly rights = RIGHT_FD_READ | RIGHT_FD_WRITE | STREAM_RIGHTS;
  readonly filetype = wasi.FILETYPE_CHARACTER_DEVICE;
  /** The line so far. Past `callBytes` it is no longer kept, and its end is answered with an error. */
  line: Uint8Array<ArrayBuffer>[] = [];
  lineBytes = 0;
  unread = new Uint8Array(0);
  readonly callBytes: number;
  readonly ask: (request: Uint8Array<ArrayBuffer>) => Awaitable<Uint8Array>;

  constructor(callBytes: number, ask: (request: Uint8Array<ArrayBuffer>) => Awaitable<Uint8Array>) {
    super();
    this.callBytes = callBytes;
    this.ask = ask;
  }

  override get readable(): number {
    return this.unread.byteLength;
  }

  override read(size: number): Uint8Array {
    const data = this.unread.slice(0, size);
    this.unread = this.unread.slice(data.byteLength);
    return data;
  }

  /** Takes at most one line; returns how many bytes it took, once the line is answered. */
  call(data: Uint8Array): Awaitable<number> {
    if (this.unread.byteLength > this.callBytes) fail(wasi.ERRNO_AGAIN);
    const end = data.indexOf(NEWLINE);
    const part = end < 0 ? data : data.subarray(0, end);
    this.lineBytes += part.byteLength;
    if (this.lineBytes <= this.callBytes) this.line.push(part.slice());
    if (end < 0) return data.byteLength;
    const tooLong = this.lineBytes > this.callBytes;
    const request = joinBytes(this.line);
    this.line = [];
    this.lineBytes = 0;
    const answer = tooLong ? TOO_LONG : this.ask(request);
    const take = (bytes: Uint8Array): number => {
      this.unread = joinBytes([this.unread, bytes, Uint8Array.of(NEWLINE)]);
      return end + 1;
    };
    return answer instanceof Promise ? answer.then(take) : take(answer);
  }
}

const TOO_LONG = toUtf8('{"error":{"code":"too-large","message":"The request is longer than the limit callBytes."}}');
