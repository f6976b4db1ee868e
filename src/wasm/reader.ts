/** Reads the binary format's primitives (WebAssembly 3.0, section 5.2) between two bounds. */
import { decode } from "./leb128.ts";
import { malformed, wrongLength } from "./malformed.ts";

const TOO_LONG = "an integer is too long";

/** Offsets are from the module's first byte. @throws VakError `invalid-module` from every method that moves it */
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
    if (this.pos >= this.end) wrongLength(this.pos);
    return this.bytes[this.pos++]!;
  }

  /** The next byte without moving, or -1 at the end. */
  peek(): number {
    return this.pos < this.end ? this.bytes[this.pos]! : -1;
  }

  skip(length: number): void {
    if (length > this.end - this.pos) wrongLength(this.pos);
    this.pos += length;
  }

  u32(): number {
    const start = this.pos;
    const value = this.#integer(35, false);
    return value <= 0xffff_ffff ? value : malformed(TOO_LONG, start);
  }

  /** An unsigned 64-bit integer, exact up to 2^53 and rounded above. */
  u64(): number {
    return this.#integer(70, false);
  }

  /** A signed integer of up to `bits` bits (33 or 64), exact within ±2^53. */
  signed(bits: number): number {
    return this.#integer(bits, true);
  }

  #integer(bits: number, isSigned: boolean): number {
    const start = this.pos;
    return decode(this, bits, isSigned) ?? malformed(TOO_LONG, start);
  }

  /** How many items a vector holds: each takes at least one byte, so a huge count is refused here. */
  count(): number {
    const start = this.pos;
    const count = this.u32();
    if (count > this.end - this.pos) wrongLength(start);
    return count;
  }

  name(): string {
    const length = this.u32();
    const start = this.pos;
    this.skip(length);
    return utf8.decode(this.bytes.subarray(start, this.pos));
  }
}

/** Lenient, unlike the one in `base/`: whether names are UTF-8 is for validation to say. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
