/** Nanoseconds that one unit of fuel takes: a guest's second is a billion instructions. */
const NS_PER_FUEL = 1;

const NS_PER_MS = 1_000_000n;

/** What a guest reads of the time. Nanoseconds. */
export interface Clock {
  /** The steps in which it goes. */
  readonly resolution: bigint;
  /** Time spent at work: the CPU clocks. */
  cpu(): bigint;
  /** Time since the instance began, asleep or at work. */
  monotonic(): bigint;
  realtime(): bigint;
  /** The time for a file that changes: {@link realtime}, as far as that is known without reading it. */
  stamp(): bigint;
  /** Since the instance began, as far as that is known. */
  elapsed(): bigint;
  sleep(nanoseconds: bigint): void;
}

/**
 * The guest's clock, unless the page gives it the real one. It advances with the work that the guest does and with its
 * sleeps, so that a run reads the same times wherever and however fast it is executed. Nanoseconds.
 */
export class VirtualClock implements Clock {
  readonly resolution = 1000n;
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
  constructor(startTime: number, fuel: () => number, before?: Clock) {
    this.worked = before?.cpu() ?? 0n;
    this.slept = before ? before.elapsed() - this.worked : 0n;
    this.offset = BigInt(startTime) * NS_PER_MS - this.worked - this.slept;
    this.fuel = fuel;
  }

  cpu(): bigint {
    return this.worked + BigInt(this.fuel() * NS_PER_FUEL);
  }

  monotonic(): bigint {
    return this.cpu() + this.slept;
  }

  realtime(): bigint {
    return this.offset + this.monotonic();
  }

  stamp(): bigint {
    return this.realtime();
  }

  elapsed(): bigint {
    return this.monotonic();
  }

  sleep(nanoseconds: bigint): void {
    this.slept += nanoseconds;
  }
}

/**
 * Real time, in whole ms. Every reading comes from outside and is recorded, so that a replay reads the same. The CPU
 * clocks go with the work, as ever.
 */
export class RealClock implements Clock {
  readonly resolution = NS_PER_MS;
  private readonly worked: bigint;
  /** What is to be taken from a reading for the time since the instance began. */
  private readonly offset: bigint;
  private last: bigint;
  private readonly fuel: () => number;
  private readonly read: () => bigint;

  /**
   * @param read ms since 1970, never less than the time before
   * @param fuel units used so far
   * @param before as of {@link VirtualClock}
   */
  constructor(read: () => number, fuel: () => number, before?: Clock) {
    this.read = () => BigInt(read()) * NS_PER_MS;
    this.fuel = fuel;
    this.worked = before?.cpu() ?? 0n;
    this.last = this.read();
    this.offset = this.last - (before?.elapsed() ?? 0n);
  }

  cpu(): bigint {
    return this.worked + BigInt(this.fuel() * NS_PER_FUEL);
  }

  monotonic(): bigint {
    return this.realtime() - this.offset;
  }

  realtime(): bigint {
    this.last = this.read();
    return this.last;
  }

  stamp(): bigint {
    return this.last;
  }

  elapsed(): bigint {
    return this.last - this.offset;
  }

  /** It goes on by itself. */
  sleep(): void {}
}
