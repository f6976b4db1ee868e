/** An open file description, in the sense of POSIX: the state behind a descriptor. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { fail } from "../preview1/errno.ts";

/** Metadata of a file. */
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
 * What a descriptor refers to. Each kind overrides what it supports; the rest fails with an errno. Rights are checked
 * elsewhere. No field of a kind is `#private`: a replay copies descriptions property by property
 * (`replay/host-state.ts`).
 */
export abstract class Description {
  abstract readonly filetype: number;
  /** The rights that make sense for this kind of file. */
  abstract readonly rights: bigint;
  /** The rights that make sense for what is opened from it. */
  readonly inheriting: bigint = 0n;
  /** `fdflags`, such as APPEND. */
  flags = 0;

  /** Bytes that a read would return at once. */
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

  /** Returns how many bytes it took. */
  write(_data: Uint8Array): number {
    fail(wasi.ERRNO_BADF);
  }

  pwrite(_data: Uint8Array, _at: bigint): number {
    fail(wasi.ERRNO_BADF);
  }

  /** Returns the new position. */
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
