/**
 * Room for programs. An engine holds only so many WebAssembly memories in a process, however small: Chromium about 125,
 * Firefox about 1,000. A run that finds no room has not begun; it can wait for others to end, or fail.
 */
import type { NoRoom } from "../protocol/messages.ts";
import { parseNoRoom } from "../protocol/parse.ts";

/** What becomes of a run for whose memory the browser has no room. */
export type OnFull = "wait" | "fail";

/** ms until what a run took is free once it has ended: its worker collects garbage when it has been idle for 100 ms. */
const FREE_MS = 150;
/** ms between attempts of runs that wait, of one of them each time, where nothing else gives hope. */
const RETRY_MS = 250;
/** ms after the last end of a run or worker that one which is alone still hopes: workers end in their own time. */
const HOPE_MS = 3000;

interface Waiting {
  onFull: OnFull;
  /** The run is to be given up. */
  signal: AbortSignal;
  /** It waits; gives what ends that. */
  hold?: () => () => void;
}

/** The runs of one process of the browser, as far as this script knows of them. */
export class Room {
  private running = 0;
  private endedAt = Number.NEGATIVE_INFINITY;
  private readonly waiting: (() => void)[] = [];
  private retrying: ReturnType<typeof setInterval> | undefined;

  /**
   * Makes attempts at a run until there is room for it, and gives the worker's reply to the last. No place is kept for
   * those who wait: a worker that only says that it is full is in nobody's way.
   */
  async enter(attempt: () => Promise<unknown>, { onFull, signal, hold }: Waiting): Promise<unknown> {
    for (let attempts = 1; ; attempts++) {
      const { reply, full } = await this.attempt(attempt);
      if (!full || signal.aborted) return reply;
      const others = this.running > 0 || performance.now() - this.endedAt < HOPE_MS;
      if (onFull === "wait" ? !others : attempts > 1) return reply;
      const goOn = hold?.();
      await this.change(signal);
      goOn?.();
      if (signal.aborted) return reply;
    }
  }

  /** A run or a worker has ended: soon there may be room for one more. */
  freed(): void {
    this.endedAt = performance.now();
    if (this.waiting.length) setTimeout(() => this.waiting.shift()?.(), FREE_MS);
  }

  private async attempt(attempt: () => Promise<unknown>): Promise<{ reply: unknown; full: NoRoom | undefined }> {
    let full: NoRoom | undefined;
    this.running++;
    try {
      const reply = await attempt();
      full = parseNoRoom(reply);
      return { reply, full };
    } finally {
      this.running--;
      if (!full) this.freed();
    }
  }

  /** Waits for its turn to try again. */
  private async change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const turn = () => resolve();
    signal.addEventListener("abort", turn);
    this.waiting.push(turn);
    this.retrying ??= setInterval(() => this.waiting.shift()?.(), RETRY_MS);
    await promise;
    signal.removeEventListener("abort", turn);
    const at = this.waiting.indexOf(turn);
    if (at >= 0) this.waiting.splice(at, 1);
    if (this.waiting.length) return;
    clearInterval(this.retrying);
    this.retrying = undefined;
  }
}

/** Frames are in a process of their own, all of a page together; all else is in the page's. */
export const rooms = { frame: new Room(), page: new Room() };
