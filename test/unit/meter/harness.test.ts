/** The hash by which the memories of programs are compared. */
import { expect, test } from "vitest";
import { hash } from "./harness.ts";

test("two memories that differ in one bit or two have different hashes", () => {
  const memory = Uint32Array.from({ length: 8 }, (_, i) => Math.imul(i, 0x9e3779b9));
  const before = hash(memory.buffer);
  const flip = (bit: number) => {
    memory[bit >>> 5]! ^= 1 << (bit & 31);
  };
  for (let a = 0; a < 256; a++) {
    flip(a);
    if (hash(memory.buffer) === before) expect.fail(`the same without bit ${a}`);
    for (let b = a + 1; b < 256; b++) {
      flip(b);
      if (hash(memory.buffer) === before) expect.fail(`the same without bits ${a} and ${b}`);
      flip(b);
    }
    flip(a);
  }
});
