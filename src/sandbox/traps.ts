/** Names the trap that an engine threw, alike for every engine. */
import { clip } from "../base/clip.ts";
import type { Trap } from "../protocol/messages.ts";
import { AbiError } from "./reactor.ts";

/** Each engine words its messages differently: those of Chromium, Firefox, then WebKit. The first match counts. */
const TRAP_MESSAGES: [Trap, RegExp][] = [
  ["stack", /call stack size|too much recursion/i],
  ["unreachable", /unreachable/i],
  ["divide", /(divide|division|remainder) by zero/i],
  ["overflow", /unrepresentable|integer overflow|invalid conversion to integer|out of bounds trunc/i],
  ["out-of-bounds", /out of bounds|out-of-bounds|outside of memory/i],
  ["indirect-call", /function signature|null function|indirect call|call_indirect/i],
  ["null-reference", /null/i],
  ["cast", /cast/i],
  ["memory", /out of memory|allocat/i],
];

export function trapOf(error: unknown): { trap: Trap; message: string } {
  const message = error instanceof Error ? clip(error.message, 1000) : "";
  if (error instanceof AbiError) return { trap: "abi", message };
  if (error instanceof WebAssembly.Exception) return { trap: "exception", message: "an exception was not caught" };
  return { trap: TRAP_MESSAGES.find(([, pattern]) => pattern.test(message))?.[0] ?? "other", message };
}
