/** The outside of a run that is re-executed only for its files: recorded answers, and nothing is compared. */
import { toUtf8 } from "../base/utf8.ts";
import { Halt, type Outside, type Slices } from "../sandbox/bridge.ts";

export class SilentOutside implements Outside {
  readonly wait = "atomics";
  readonly firstSlice = Number.MAX_SAFE_INTEGER;
  readonly #answers: readonly string[];
  #systemCalls = 0;
  #calls = 0;
  /** The run made more calls than there are answers. */
  short = false;

  constructor(answers: readonly string[]) {
    this.#answers = answers;
  }

  slices(): Slices {
    return { refill: () => {}, pace: () => {} };
  }

  enter(): number {
    return ++this.#systemCalls;
  }

  ask(): Uint8Array {
    const answer = this.#answers[this.#calls++];
    if (answer !== undefined) return toUtf8(answer);
    this.short = true;
    throw new Halt("asked");
  }

  sleep(): void {}

  /** The clock is virtual. */
  now(): number {
    return 0;
  }
}
