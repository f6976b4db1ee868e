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
