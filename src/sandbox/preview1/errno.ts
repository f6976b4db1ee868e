/** A WASI errno, thrown in a system call, which `process.ts` turns into the call's result. */
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
