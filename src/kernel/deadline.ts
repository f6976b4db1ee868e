/** The deadline of a run: a timer that can stand still. */

export class Deadline {
  #remaining: number;
  readonly #onEnd: () => void;
  #timer: { id: ReturnType<typeof setTimeout>; since: number } | undefined;
  #holds = 0;
  #state: "new" | "started" | "ended" = "new";

  /** @param ms until `onEnd`, once it is started */
  constructor(ms: number, onEnd: () => void) {
    this.#remaining = ms;
    this.#onEnd = onEnd;
  }

  start(): void {
    if (this.#state === "new") this.#state = "started";
    this.#go();
  }

  /** Never fires from here on. */
  end(): void {
    this.#halt();
    this.#state = "ended";
  }

  /** Stands still until what it returns is called, and every other hold has ended too. */
  hold(): () => void {
    this.#holds++;
    this.#halt();
    return () => {
      this.#holds--;
      this.#go();
    };
  }

  /** Returns a function that resets the time left to what it is now: the run could not use what has passed since. */
  mark(): () => void {
    const remaining = this.#left();
    return () => {
      this.#halt();
      this.#remaining = remaining;
      this.#go();
    };
  }

  #go(): void {
    if (this.#timer || this.#holds > 0 || this.#state !== "started") return;
    this.#timer = { id: setTimeout(this.#onEnd, Math.max(0, this.#remaining)), since: performance.now() };
  }

  #halt(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer.id);
    this.#remaining = this.#left();
    this.#timer = undefined;
  }

  #left(): number {
    return this.#timer ? this.#remaining - (performance.now() - this.#timer.since) : this.#remaining;
  }
}
