import { wasi } from "@bjorn3/browser_wasi_shim";
import { fail } from "../wasi/errno.ts";

export interface Stat {
  ino: bigint;
  filetype: number;
  nlink: bigint;
  /** Bytes. */
  size: number;
  /** Nanoseconds since 1970 by the guest's clock. */
  accessed: bigint;
  modified: bigint;
  changed: bigint;
}

/**
 * An open file description: what a descriptor stands for. A kind overrides what it can do; the rest is refused by errno.
 * Whether the descriptor has the right to it is not asked here.
 */
export abstract class Description {
  abstract readonly filetype: number;
  /** What can be done with this kind of file at all, and with what is opened from it. */
  abstract readonly rights: bigint;
  readonly inheriting: bigint = 0n;
  /** APPEND and the like. */
  flags = 0;

  /** Bytes that a read would find at once. */
  get readable(): number {
    return 0;
  }

  stat(): Stat {
    const { filetype } = this;
    return { ino: 0n, filetype, nlink: 0n, size: 0, accessed: 0n, modified: 0n, changed: 0n };
  }

  setTimes(_atim: bigint, _mtim: bigint, _flags: number): void {
    fail(wasi.ERRNO_NOTSUP);
  }

  close(): void {}

  read(_size: number): Uint8Array {
    fail(wasi.ERRNO_BADF);
  }

  pread(_size: number, _at: bigint): Uint8Array {
    fail(wasi.ERRNO_BADF);
  }

  /** Gives the bytes that were taken. */
  write(_data: Uint8Array): number {
    fail(wasi.ERRNO_BADF);
  }

  pwrite(_data: Uint8Array, _at: bigint): number {
    fail(wasi.ERRNO_BADF);
  }

  /** Gives the new position. */
  seek(_by: bigint, _whence: number): bigint {
    fail(wasi.ERRNO_BADF);
  }

  allocate(_start: bigint, _length: bigint): void {
    fail(wasi.ERRNO_BADF);
  }

  resize(_size: bigint): void {
    fail(wasi.ERRNO_BADF);
  }
}
