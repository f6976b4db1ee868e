/** The guest's memory, as system calls read and write it. */

import { wasi } from "@bjorn3/browser_wasi_shim";
import { fromUtf8, toUtf8 } from "../../base/utf8.ts";
import { MAX_PATH } from "../../protocol/bounds.ts";
import { fail } from "../preview1/errno.ts";

// The original getter, in case a prototype is subverted.
const bufferOf = Object.getOwnPropertyDescriptor(WebAssembly.Memory.prototype, "buffer")!.get as () => ArrayBuffer;

/** The most vectors that one scatter or gather call may name, as IOV_MAX. */
const MAX_IOVS = 1024;

/** A range of guest memory, already checked. */
interface Span {
  ptr: number;
  len: number;
}

/**
 * The guest's memory, through which every pointer, length and count passes. What is out of range is `EFAULT`, never
 * clipped. Views are made for each access, since any call may have grown the memory.
 */
export class GuestMemory {
  #memory: WebAssembly.Memory | undefined;

  /** The memory is the guest's own export, and exists once the guest does. Until then nothing is in range. */
  attach(memory: unknown): void {
    if (memory instanceof WebAssembly.Memory) this.#memory = memory;
  }

  /** The guest has ended, and its memory must not be kept. */
  release(): void {
    this.#memory = undefined;
  }

  get byteLength(): number {
    return this.#memory ? bufferOf.call(this.#memory).byteLength : 0;
  }

  /** A live view of `len` bytes at `ptr`. Pointers arrive as signed i32. */
  bytes(ptr: number, len: number): Uint8Array<ArrayBuffer> {
    const start = ptr >>> 0;
    const length = len >>> 0;
    if (!this.#memory || start + length > this.byteLength) fail(wasi.ERRNO_FAULT);
    return new Uint8Array(bufferOf.call(this.#memory!), start, length);
  }

  view(ptr: number, len: number): DataView<ArrayBuffer> {
    const { buffer, byteOffset, byteLength } = this.bytes(ptr, len);
    return new DataView(buffer, byteOffset, byteLength);
  }

  setU32(ptr: number, value: number): void {
    this.view(ptr, 4).setUint32(0, value, true);
  }

  setU64(ptr: number, value: bigint): void {
    this.view(ptr, 8).setBigUint64(0, value, true);
  }

  write(ptr: number, source: Uint8Array): void {
    this.bytes(ptr, source.byteLength).set(source);
  }

  /** A path: UTF-8 without NUL. */
  path(ptr: number, len: number): string {
    if (len >>> 0 > MAX_PATH) fail(wasi.ERRNO_NAMETOOLONG);
    const bytes = this.bytes(ptr, len);
    if (bytes.includes(0)) fail(wasi.ERRNO_INVAL);
    try {
      return fromUtf8(bytes);
    } catch {
      fail(wasi.ERRNO_ILSEQ);
    }
  }

  /** The vectors of a scatter or gather call, each checked before the first byte moves. */
  iovs(ptr: number, count: number): Span[] {
    if (count >>> 0 > MAX_IOVS) fail(wasi.ERRNO_INVAL);
    const view = this.view(ptr, (count >>> 0) * 8);
    return Array.from({ length: count >>> 0 }, (_, i) => {
      const span = { ptr: view.getUint32(i * 8, true), len: view.getUint32(i * 8 + 4, true) };
      this.bytes(span.ptr, span.len);
      return span;
    });
  }

  /** The bytes that the vectors name, as one copy. */
  gather(iovs: Span[]): Uint8Array<ArrayBuffer> {
    // Vectors may overlap, so their sum needs a bound of its own.
    const total = iovs.reduce((sum, span) => sum + span.len, 0);
    if (total > this.byteLength) fail(wasi.ERRNO_INVAL);
    const out = new Uint8Array(total);
    let at = 0;
    for (const span of iovs) {
      out.set(this.bytes(span.ptr, span.len), at);
      at += span.len;
    }
    return out;
  }

  /** Spreads `data` over the vectors. */
  scatter(iovs: Span[], data: Uint8Array): void {
    let at = 0;
    for (const span of iovs) {
      const part = data.subarray(at, at + span.len);
      this.write(span.ptr, part);
      at += part.byteLength;
      if (at === data.byteLength) return;
    }
  }

  /** Writes pointers at `list` and NUL-terminated strings at `buf`, as `args_get` and `environ_get` do. */
  strings(list: number, buf: number, strings: string[]): void {
    const encoded = strings.map((string) => toUtf8(`${string}\0`));
    const pointers = this.view(list, encoded.length * 4);
    this.bytes(
      buf,
      encoded.reduce((sum, string) => sum + string.byteLength, 0),
    );
    let at = buf >>> 0;
    encoded.forEach((string, i) => {
      pointers.setUint32(i * 4, at, true);
      this.write(at, string);
      at += string.byteLength;
    });
  }
}

/** Bytes that {@link GuestMemory.strings} will write at `buf`. */
export const stringsSize = (strings: string[]): number =>
  strings.reduce((sum, string) => sum + toUtf8(string).byteLength + 1, 0);
