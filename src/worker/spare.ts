/** A worker started before an agent needs it, because starting one is most of what a spawn takes. */
import type { Host } from "./host.ts";
import type { Place } from "./place.ts";
import { startWorker } from "./start.ts";

/** ms after a spawn at which the next worker is started: late enough not to slow the agent that was just made. */
const AHEAD_MS = 100;

export class Spare {
  /** Where its workers run: the kernel's default. */
  readonly place: Place;
  #host: Promise<Host | undefined> | undefined;
  #closed = false;

  constructor(place: Place) {
    this.place = place;
  }

  /** Starts a worker, unless one is waiting. A failure is reported by the spawn that needs a worker, not here. */
  start(): void {
    if (!this.#closed) this.#host ??= startWorker(this.place).catch(() => undefined);
  }

  /** Starts the next worker a little later. */
  startSoon(): void {
    setTimeout(() => this.start(), AHEAD_MS);
  }

  /** The worker that was started ahead if it suits and still lives, else a new one. */
  async take(place: Place): Promise<Host> {
    if (place !== this.place) return startWorker(place);
    const ahead = this.#host;
    this.#host = undefined;
    const host = await ahead;
    return host?.alive ? host : startWorker(place);
  }

  /** Ends the worker that waits, if there is one, and starts no more. */
  async close(why: string): Promise<void> {
    this.#closed = true;
    (await this.#host)?.end(why);
  }
}
