import { shake128 } from "@noble/hashes/sha3.js";

/**
 * A run's random bytes: the output of SHAKE128 (FIPS 202) over the seed and the run's number, so that the same run
 * draws the same bytes in every engine. As unpredictable as its seed, and no more.
 */
export function randomStream(seed: number, run: number): (target: Uint8Array) => void {
  const stream = shake128.create({ dkLen: 32 }).update(new TextEncoder().encode(`vak random v1\0${seed}\0${run}`));
  return (target) => {
    stream.xofInto(target);
  };
}
