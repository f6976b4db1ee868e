/** The random bytes of a run. */

import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { toUtf8 } from "../../base/utf8.ts";

/** Bytes of one block of the stream. */
const BLOCK = 32;

/**
 * A run's random bytes: HMAC-SHA-256 in counter mode (NIST SP 800-108r1 §4.1) under the seed and the run's number, so
 * that the same run draws the same bytes in every engine. Only as unpredictable as its seed.
 *
 * No field is `#private`: a replay copies the stream property by property (`replay/host-state.ts`).
 */
export class RandomStream {
  readonly key: Uint8Array;
  counter = 0n;
  block = new Uint8Array(0);

  constructor(seed: number, run: number) {
    this.key = toUtf8(`vak random v1 ${seed} ${run}`);
  }

  fill(target: Uint8Array): void {
    const input = new DataView(new ArrayBuffer(8));
    for (let at = 0; at < target.byteLength; ) {
      if (this.block.byteLength === 0) {
        input.setBigUint64(0, this.counter++);
        this.block = new Uint8Array(hmac(sha256, this.key, new Uint8Array(input.buffer)));
      }
      const part = this.block.subarray(0, Math.min(BLOCK, target.byteLength - at));
      target.set(part, at);
      this.block = this.block.subarray(part.byteLength);
      at += part.byteLength;
    }
  }
}
