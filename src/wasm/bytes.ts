import { VakError } from "../errors.ts";

/** The caller's mistake. */
export function misuse(message: string): never {
  throw new VakError("invalid-argument", `${message}.`);
}

/** Ends the reading of a module that is not admitted. Offsets are from the module's first byte. */
export function refuse(message: string, at?: number): never {
  throw new VakError("invalid-module", at === undefined ? `${message}.` : `${message} (at byte ${at}).`);
}

/** Ends the reading of what is shorter or longer than it says. */
export const refuseLength = (at: number): never => refuse("truncated, or a length or count is wrong", at);

/** Ends the reading of what is none of the things that may stand there. */
export const refuseUnknown = (what: string, code: number, at: number): never =>
  refuse(`${what} 0x${code.toString(16).padStart(2, "0")} is not known`, at);

/** Ends the reading of what needs a feature that the meter does not take. */
export const refuseFeature = (what: string, at: number): never => refuse(`${what} is not admitted`, at);

const TOO_LONG = "an integer is too long";

/** Reads the binary format's primitives (WebAssembly 3.0, section 5.2) between two bounds. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  pos: number;

  constructor(bytes: Uint8Array, pos: number, end: number) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  get done(): boolean {
    return this.pos >= this.end;
  }

  byte(): number {
    if (this.pos >= this.end) refuseLength(this.pos);
    return this.bytes[this.pos++]!;
  }

  /** The next byte without moving, or -1 at the end. */
  peek(): number {
    return this.pos < this.end ? this.bytes[this.pos]! : -1;
  }

  skip(length: number): void {
    if (length > this.end - this.pos) refuseLength(this.pos);
    this.pos += length;
  }

  u32(): number {
    const start = this.pos;
    const value = this.integer(35, 0);
    return value <= 0xffff_ffff ? value : refuse(TOO_LONG, start);
  }

  /** An unsigned 64-bit integer, exact up to 2^53 and rounded above. */
  u64(): number {
    return this.integer(70, 0);
  }

  /** A signed integer of up to `bits` bits (33 or 64), exact within ±2^53. */
  signed(bits: number): number {
    return this.integer(bits, 0x40);
  }

  /** @param sign the bit of the last byte that says that the integer is negative; 0 for none */
  private integer(bits: number, sign: number): number {
    const start = this.pos;
    let value = 0;
    for (let shift = 0; shift < bits; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return byte & sign ? value - 2 ** (shift + 7) : value;
    }
    return refuse(TOO_LONG, start);
  }

  /** How many items a vector holds; each takes at least one byte, so that a huge count ends here. */
  count(): number {
    const start = this.pos;
    const count = this.u32();
    if (count > this.end - this.pos) refuseLength(start);
    return count;
  }

  name(): string {
    const length = this.u32();
    const start = this.pos;
    this.skip(length);
    return utf8.decode(this.bytes.subarray(start, this.pos));
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/** Writes the binary format's primitives to a buffer that grows. */
export class Writer {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Makes room for `more` bytes, so that a caller may then write `bytes` directly. */
  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  byte(value: number): this {
    this.reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  /** An unsigned LEB128 integer, exact up to 2^53. */
  unsigned(value: number): this {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
    return this;
  }

  /** A signed LEB128 integer, exact within ±2^53. */
  signed(value: number): this {
    this.reserve(8);
    let rest = value;
    while (rest < -0x40 || rest >= 0x40) {
      this.bytes[this.length++] = (((rest % 0x80) + 0x80) % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest & 0x7f;
    return this;
  }

  raw(source: ArrayLike<number>): this {
    this.reserve(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
    return this;
  }

  /** The bytes of `source` from `start` to `end`. */
  copy(source: Uint8Array, start: number, end: number): this {
    this.reserve(end - start);
    if (end - start > 64) this.bytes.set(source.subarray(start, end), this.length);
    else for (let from = start, to = this.length; from < end; ) this.bytes[to++] = source[from++]!;
    this.length += end - start;
    return this;
  }

  name(text: string): this {
    const encoded = utf8Encoder.encode(text);
    return this.unsigned(encoded.length).raw(encoded);
  }

  /** What was written, without a copy. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
