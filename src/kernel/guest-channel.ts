/**
 * How the page speaks to a guest at work: by message, and by shared memory where its worker waits in `Atomics.wait`.
 */
import { AnswerBuffer } from "../protocol/answer-buffer.ts";
import type { KernelMessage, WaitMode } from "../protocol/messages.ts";
import type { Host } from "../worker/host.ts";

export class GuestChannel {
  readonly #host: Host;
  /** See {@link AnswerBuffer}. */
  readonly shared: SharedArrayBuffer | undefined;

  /** @param callBytes that an answer may have */
  constructor(host: Host, wait: WaitMode, callBytes: number) {
    this.#host = host;
    if (wait === "atomics") this.shared = new SharedArrayBuffer(AnswerBuffer.HEADER_BYTES + align(callBytes));
  }

  /** Clears what a former run has left. */
  reset(): void {
    if (this.shared) new Int32Array(this.shared, 0, 3).fill(0);
  }

  stop(): void {
    this.#tell({ vak: "stop" }, AnswerBuffer.STATE, AnswerBuffer.STOPPED);
  }

  pause(): void {
    this.#tell({ vak: "pause" }, AnswerBuffer.PAUSED, 1);
  }

  resume(): void {
    this.#tell({ vak: "resume" }, AnswerBuffer.PAUSED, 0);
  }

  answer(call: number, bytes: Uint8Array): void {
    if (!this.shared) return this.#host.send({ vak: "answer", call, bytes });
    const state = new Int32Array(this.shared, 0, 2);
    new Uint8Array(this.shared, AnswerBuffer.HEADER_BYTES).set(bytes);
    state[AnswerBuffer.LENGTH] = bytes.byteLength;
    Atomics.store(state, AnswerBuffer.STATE, AnswerBuffer.ANSWERED);
    Atomics.notify(state, AnswerBuffer.STATE);
  }

  /** In both ways: a worker that is asleep or busy gets no messages. */
  #tell(message: KernelMessage, index: number, value: number): void {
    if (this.shared) {
      const state = new Int32Array(this.shared, 0, 3);
      Atomics.store(state, index, value);
      Atomics.notify(state, index);
    }
    this.#host.send(message);
  }
}

const align = (bytes: number): number => Math.ceil(bytes / 8) * 8;
