import { VakError } from "../errors.ts";

/** Ends the reading of a module that is not admitted. Offsets are from the module's first byte. */
export function refuse(message: string, at?: number): never {
  throw new VakError("invalid-module", at === undefined ? `${message}.` : `${message} (at byte ${at}).`);
}

const TRUNCATED = "truncated, or a length or count is wrong";
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
    if (this.pos >= this.end) refuse(TRUNCATED, this.pos);
    return this.bytes[this.pos++]!;
  }

  /** The next byte without moving, or -1 at the end. */
  peek(): number {
    return this.pos < this.end ? this.bytes[this.pos]! : -1;
  }

  skip(length: number): void {
    if (length > this.end - this.pos) refuse(TRUNCATED, this.pos);
    this.pos += length;
  }

  u32(): number {
    const start = this.pos;
    const value = this.unsigned(35);
    return value <= 0xffff_ffff ? value : refuse(TOO_LONG, start);
  }

  /** An unsigned 64-bit integer, exact up to 2^53 and rounded above. */
  u64(): number {
    return this.unsigned(70);
  }

  private unsigned(bits: number): number {
    const start = this.pos;
    let value = 0;
    for (let shift = 0; shift < bits; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return refuse(TOO_LONG, start);
  }

  /** A signed integer of up to `bits` bits (33 or 64), exact within ±2^53. */
  signed(bits: number): number {
    const start = this.pos;
    let value = 0;
    for (let shift = 0; shift < bits; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return byte & 0x40 ? value - 2 ** (shift + 7) : value;
    }
    return refuse(TOO_LONG, start);
  }

  /** How many items a vector holds; each takes at least one byte, so that a huge count ends here. */
  count(): number {
    const start = this.pos;
    const count = this.u32();
    if (count > this.end - this.pos) refuse(TRUNCATED, start);
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
