/** Nanoseconds that one look at a clock takes, so that a loop which waits for the time to pass ends. */
const LOOK = 1000n;

/**
 * The guest's only clock. It stands still but for looks at it and for sleeps, so that a run reads the same times
 * wherever it is executed. Nanoseconds.
 */
export class VirtualClock {
  private elapsed = 0n;
  private readonly start: bigint;

  /** @param startTime ms since 1970 */
  constructor(startTime: number) {
    this.start = BigInt(startTime) * 1_000_000n;
  }

  /** Time since the run began: the monotonic and the CPU clocks. */
  monotonic(): bigint {
    this.elapsed += LOOK;
    return this.elapsed;
  }

  realtime(): bigint {
    return this.start + this.monotonic();
  }

  advance(nanoseconds: bigint): void {
    this.elapsed += nanoseconds;
  }

  /** The time for a file's stamp: not a look. */
  stamp(): bigint {
    return this.start + this.elapsed;
  }
}
