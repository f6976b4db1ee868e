import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

/** Bytes of one block of the stream. */
const BLOCK = 32;

/**
 * A run's random bytes: HMAC-SHA-256 in counter mode (NIST SP 800-108r1 §4.1) under the seed and the run's number, so
 * that the same run draws the same bytes in every engine. As unpredictable as its seed, and no more.
 */
export function randomStream(seed: number, run: number): (target: Uint8Array) => void {
  const key = new TextEncoder().encode(`vak random v1 ${seed} ${run}`);
  const input = new DataView(new ArrayBuffer(8));
  let counter = 0n;
  let block = new Uint8Array(0);
  return (target) => {
    for (let at = 0; at < target.byteLength; ) {
      if (block.byteLength === 0) {
        input.setBigUint64(0, counter++);
        block = new Uint8Array(hmac(sha256, key, new Uint8Array(input.buffer)));
      }
      const part = block.subarray(0, Math.min(BLOCK, target.byteLength - at));
      target.set(part, at);
      block = block.subarray(part.byteLength);
      at += part.byteLength;
    }
  };
}
