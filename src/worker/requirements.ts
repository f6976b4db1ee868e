/** What a page needs before it can spawn an agent: leave to compile WebAssembly, and a way for guests to wait. */
import { VakError } from "../errors.ts";
import type { WaitMode } from "../protocol/messages.ts";
import type { Isolation } from "./place.ts";

/**
 * Tells a Content Security Policy that forbids WebAssembly from a module that is not valid.
 *
 * @throws VakError `unsupported`
 */
export function checkCompiles(): void {
  try {
    new WebAssembly.Module(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00));
  } catch (cause) {
    throw new VakError(
      "unsupported",
      "This page may not compile WebAssembly: add 'wasm-unsafe-eval' to script-src in its Content Security Policy.",
      { cause },
    );
  }
}

/** How guests can wait for an answer on this page; null where they cannot. */
export function pageWaitMode(): WaitMode | null {
  if ("Suspending" in WebAssembly) return "jspi";
  return globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function" ? "atomics" : null;
}

/**
 * How the guests of an agent will wait.
 *
 * @throws VakError `unsupported` where they cannot
 */
export function waitMode(isolation: Isolation): WaitMode {
  const mode = pageWaitMode();
  if (isolation === "frame" && mode !== "jspi") {
    throw new VakError(
      "unsupported",
      'Isolation "frame" needs WebAssembly JavaScript Promise Integration, which this browser does not have (Chrome 137, ' +
        'Firefox 153, Safari 27 do): memory cannot be shared with a sandboxed frame. Use "opaque".',
    );
  }
  if (mode) return mode;
  throw new VakError(
    "unsupported",
    "A guest cannot wait for an answer in this browser: it has no WebAssembly JavaScript Promise Integration " +
      "(Chrome 137, Firefox 153, Safari 27 have it). Serve the page with the headers Cross-Origin-Opener-Policy: " +
      "same-origin and Cross-Origin-Embedder-Policy: require-corp, and shared memory is used instead.",
  );
}
