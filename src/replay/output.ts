/** The output of a replayed run, hashed as far as the page had accepted it. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { joinBytes } from "../base/bytes.ts";

/** After the page had asked a run to stop, it accepted no more output. */
export class ReplayedOutput {
  bytes = 0;
  #hash = sha256.create();
  #left: number;
  /** Kept only where somebody wants to look. */
  #chunks: Uint8Array[] | undefined;

  /** @param accepted bytes; undefined if that is not known */
  constructor(accepted: number | undefined, keep: boolean) {
    this.#left = accepted ?? 0;
    this.#chunks = keep ? [] : undefined;
  }

  copy(): ReplayedOutput {
    const copy = new ReplayedOutput(this.#left, false);
    copy.bytes = this.bytes;
    copy.#hash = this.#hash.clone();
    copy.#chunks = this.#chunks?.slice();
    return copy;
  }

  all(): Uint8Array<ArrayBuffer> {
    return joinBytes(this.#chunks ?? []);
  }

  push(bytes: Uint8Array): void {
    this.bytes += bytes.byteLength;
    this.#chunks?.push(bytes);
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.byteLength;
    this.#hash.update(part);
  }

  digest(): string {
    return bytesToHex(this.#hash.digest());
  }
}

/** By file descriptor. */
export type Outputs = { 1: ReplayedOutput; 2: ReplayedOutput };

export const copyOutputs = (outputs: Outputs): Outputs => ({ 1: outputs[1].copy(), 2: outputs[2].copy() });
