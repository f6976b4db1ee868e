/** Nanoseconds that one unit of fuel takes: a guest's second is a billion instructions. */
const NS_PER_FUEL = 1;

/**
 * The guest's only clock. It advances with the work that the guest does and with its sleeps, so that a run reads the
 * same times wherever and however fast it is executed. Nanoseconds.
 */
export class VirtualClock {
  private slept: bigint;
  /** Work before this clock's. */
  private readonly worked: bigint;
  /** What is to be added to the time since the instance began. */
  private readonly offset: bigint;
  private readonly fuel: () => number;

  /**
   * @param startTime ms since 1970
   * @param fuel units used so far
   * @param before the instance's clock of the call before, which this one goes on from
   */
  constructor(startTime: number, fuel: () => number, before?: VirtualClock) {
    this.worked = before?.cpu() ?? 0n;
    this.slept = before?.slept ?? 0n;
    this.offset = BigInt(startTime) * 1_000_000n - this.worked - this.slept;
    this.fuel = fuel;
  }

  /** Time spent at work: the CPU clocks. */
  cpu(): bigint {
    return this.worked + BigInt(this.fuel() * NS_PER_FUEL);
  }

  /** Time since the instance began, asleep or at work. */
  monotonic(): bigint {
    return this.cpu() + this.slept;
  }

  realtime(): bigint {
    return this.offset + this.monotonic();
  }

  sleep(nanoseconds: bigint): void {
    this.slept += nanoseconds;
  }
}
