/** The guest's clocks: virtual, or real if the page says so. */

/** Nanoseconds per unit of fuel: a guest's second is a billion instructions. */
const NS_PER_FUEL = 1;

export const NS_PER_MS = 1_000_000n;

/** The time, as a guest reads it. Nanoseconds. */
export interface Clock {
  /** The smallest step. */
  readonly resolution: bigint;
  /** Time spent at work: what the CPU clocks read. */
  cpu(): bigint;
  /** Time since the instance began, asleep or at work. */
  monotonic(): bigint;
  realtime(): bigint;
  /** The time for a file that changes: {@link realtime} as of its last reading, if reading it counts. */
  stamp(): bigint;
  /** Time since the instance began, as of the last reading. */
  elapsed(): bigint;
  sleep(nanoseconds: bigint): void;
}

/**
 * The guest's clock, unless the page gives it the real one. It advances with the guest's work and its sleeps, so that
 * a run reads the same times wherever and however fast it is executed.
 *
 * No field of a clock is `#private`: a replay copies clocks property by property (`replay/host-state.ts`).
 */
export class VirtualClock implements Clock {
  readonly resolution = 1000n;
  slept: bigint;
  /** Work done before this run. */
  readonly worked: bigint;
  /** Added to the time since the instance began. */
  readonly offset: bigint;
  readonly fuel: () => number;

  /**
   * @param startTime ms since 1970
   * @param fuel units used so far
   * @param before the instance's clock in the previous call, which this one continues
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
 * clocks advance with the work, as those of {@link VirtualClock} do.
 */
export class RealClock implements Clock {
  readonly resolution = NS_PER_MS;
  readonly worked: bigint;
  /** Subtracted from a reading to give the time since the instance began. */
  readonly offset: bigint;
  last: bigint;
  readonly fuel: () => number;
  readonly read: () => bigint;

  /**
   * @param read ms since 1970, never less than the reading before
   * @param fuel units used so far
   * @param before as for {@link VirtualClock}
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

  /** Real time passes by itself. */
  sleep(): void {}
}
