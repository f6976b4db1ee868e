/** Nanoseconds that one unit of fuel takes: a guest's second is a billion instructions. */
const NS_PER_FUEL = 1;

/**
 * The guest's only clock. It advances with the work that the guest does and with its sleeps, so that a run reads the
 * same times wherever and however fast it is executed. Nanoseconds.
 */
export class VirtualClock {
  private slept = 0n;
  private readonly start: bigint;
  private readonly fuel: () => number;

  /**
   * @param startTime ms since 1970
   * @param fuel units used so far
   */
  constructor(startTime: number, fuel: () => number) {
    this.start = BigInt(startTime) * 1_000_000n;
    this.fuel = fuel;
  }

  /** Time spent at work since the run began: the CPU clocks. */
  cpu(): bigint {
    return BigInt(this.fuel() * NS_PER_FUEL);
  }

  /** Time since the run began, asleep or at work. */
  monotonic(): bigint {
    return this.cpu() + this.slept;
  }

  realtime(): bigint {
    return this.start + this.monotonic();
  }

  sleep(nanoseconds: bigint): void {
    this.slept += nanoseconds;
  }
}
