import { wasi } from "@bjorn3/browser_wasi_shim";

/** A WASI errno on its way out of a system call; the import table turns it into the call's result. */
export class Errno extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

export function fail(errno: number): never {
  throw new Errno(errno);
}

/** Unwraps what the shim's `Fd` methods return. */
export function ok<T extends { ret: number }>(result: T): T {
  if (result.ret !== wasi.ERRNO_SUCCESS) fail(result.ret);
  return result;
}
