/**
 * How many programs a browser process can hold, which only trying shows: an engine holds a bounded number of
 * WebAssembly memories, however small (Chromium about 125, Firefox about 1,000). A run that does not fit has not begun;
 * it waits for others to end, or fails.
 */
import type { NoRoom } from "../protocol/messages.ts";
import { parseNoRoom } from "../protocol/parse.ts";

/** What happens to a run whose memory the browser cannot hold. */
export type OnFull = "wait" | "fail";

/** ms until an ended run's memory is free: its worker collects garbage once it has been idle for 100 ms. */
const FREE_MS = 150;
/** ms between attempts, each by one of the runs that wait, when no run or worker ends meanwhile. */
const RETRY_MS = 250;
/**
 * ms for which a lone run keeps waiting after the last end of a run or worker: workers end slowly.
 */
const GRACE_MS = 3000;

interface Entering {
  onFull: OnFull;
  /** Aborts when the run is to be given up. */
  signal: AbortSignal;
  /** Called when the run begins to wait; what it returns is called when it stops waiting. */
  hold?: () => () => void;
}

/** The page's message for a run that did not fit: with `"wait"`, nothing was running that could have ended. */
export const fullMessage = ({ noRoom }: NoRoom, onFull: OnFull): string =>
  `${noRoom} Close reactors${onFull === "fail" ? ', let other runs end, or set onFull to "wait"' : ""}.`;

/** Counts the runs of one process of the browser, as far as this script knows of them. */
export class Capacity {
  #running = 0;
  #endedAt = Number.NEGATIVE_INFINITY;
  readonly #waiting: (() => void)[] = [];
  #retrying: ReturnType<typeof setInterval> | undefined;

  /**
   * Attempts a run until it fits, and returns the worker's last reply. Nothing is reserved for runs that wait: a worker
   * that only reports that it is full takes nothing from others.
   */
  async enter(attempt: () => Promise<unknown>, { onFull, signal, hold }: Entering): Promise<unknown> {
    for (let attempts = 1; ; attempts++) {
      const { reply, full } = await this.#attempt(attempt);
      if (!full || signal.aborted) return reply;
      const others = this.#running > 0 || performance.now() - this.#endedAt < GRACE_MS;
      if (onFull === "wait" ? !others : attempts > 1) return reply;
      const release = hold?.();
      await this.#turn(signal);
      release?.();
      if (signal.aborted) return reply;
    }
  }

  /** A run or a worker has ended: one more may fit soon. */
  freed(): void {
    this.#endedAt = performance.now();
    if (this.#waiting.length) setTimeout(() => this.#waiting.shift()?.(), FREE_MS);
  }

  async #attempt(attempt: () => Promise<unknown>): Promise<{ reply: unknown; full: NoRoom | undefined }> {
    let full: NoRoom | undefined;
    this.#running++;
    try {
      const reply = await attempt();
      full = parseNoRoom(reply);
      return { reply, full };
    } finally {
      this.#running--;
      if (!full) this.freed();
    }
  }

  /** Waits for a turn to try again. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const turn = () => resolve();
    signal.addEventListener("abort", turn);
    this.#waiting.push(turn);
    this.#retrying ??= setInterval(() => this.#waiting.shift()?.(), RETRY_MS);
    await promise;
    signal.removeEventListener("abort", turn);
    const at = this.#waiting.indexOf(turn);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (this.#waiting.length) return;
    clearInterval(this.#retrying);
    this.#retrying = undefined;
  }
}

/** All frames of a page share a process of their own; everything else is in the page's. */
export const capacity = { frame: new Capacity(), page: new Capacity() };
