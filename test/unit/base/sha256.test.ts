/** SHA-256, by WebCrypto and in JavaScript. */
import { afterEach, expect, test, vi } from "vitest";
import { sha256Hex, sha256HexOf } from "../../../src/base/sha256.ts";

afterEach(() => vi.unstubAllGlobals());

/** FIPS 180-4, the example of one block. */
const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const abc = new TextEncoder().encode("abc");

test("the digest is the same by WebCrypto, in JavaScript, and in a page that is not a secure context", async () => {
  expect(sha256Hex(abc)).toBe(ABC);
  expect(await sha256HexOf(abc)).toBe(ABC);
  vi.stubGlobal("crypto", { subtle: undefined });
  expect(await sha256HexOf(abc)).toBe(ABC);
});
