/** Writes the binary format's primitives (WebAssembly 3.0, section 5.2) to a buffer that grows. */
import { toUtf8 } from "../base/utf8.ts";
import { MOST_BYTES, putSigned, putUnsigned } from "./leb128.ts";

export class Writer {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Makes room for `more` bytes. */
  #reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  byte(value: number): this {
    this.#reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  /** An unsigned integer, exact up to 2^53. */
  unsigned(value: number): this {
    this.#reserve(MOST_BYTES);
    this.length = putUnsigned(this.bytes, this.length, value);
    return this;
  }

  /** A signed integer, exact within ±2^53. */
  signed(value: number): this {
    this.#reserve(MOST_BYTES);
    this.length = putSigned(this.bytes, this.length, value);
    return this;
  }

  raw(source: ArrayLike<number>): this {
    this.#reserve(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
    return this;
  }

  /** The bytes of `source` from `start` to `end`. */
  copy(source: Uint8Array, start: number, end: number): this {
    this.#reserve(end - start);
    if (end - start > 64) this.bytes.set(source.subarray(start, end), this.length);
    else for (let from = start, to = this.length; from < end; ) this.bytes[to++] = source[from++]!;
    this.length += end - start;
    return this;
  }

  /** A vector of `count` items, whose bytes are `items`. */
  vector(count: number, items: ArrayLike<number>): this {
    return this.unsigned(count).raw(items);
  }

  name(text: string): this {
    const encoded = toUtf8(text);
    return this.vector(encoded.length, encoded);
  }

  section(id: number, contents: Uint8Array): this {
    return this.byte(id).vector(contents.length, contents);
  }

  /** What was written, without a copy. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
