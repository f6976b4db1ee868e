/** What this page can do in this browser, found by trying it. */
import { retry } from "../base/retry.ts";
import { canPersist } from "../files/persist.ts";
import type { WaitMode } from "../protocol/messages.ts";
import type { Isolation } from "./place.ts";
import { pageWaitMode } from "./requirements.ts";
import { startWorker } from "./start.ts";

/** What this page can do in this browser. */
export interface Support {
  /** Whether a kernel can be made and an agent spawned, in at least one isolation. */
  agents: boolean;
  /**
   * How a guest waits for an answer: suspended (`jspi`), or asleep on shared memory (`atomics`); null when it cannot.
   */
  wait: WaitMode | null;
  /** Which isolation levels start a worker under this page's Content Security Policy. */
  isolation: Record<Isolation, boolean>;
  /** Whether there is what the log needs: a secure context, IndexedDB and Web Locks. */
  log: boolean;
  /** Whether files can be kept under a name and survive a reload: `mounts: { "/": { persist: name } }`. */
  persist: boolean;
  /** Whether WebCrypto has Ed25519: the log's key can then be one that no script can read. */
  ed25519: boolean;
  /** WebAssembly proposals that a program may use, beyond what every browser has. */
  wasm: Record<WasmFeature, boolean>;
}

/** The smallest module that needs the feature, after its header, in hex. */
const FEATURES = {
  simd: "010401600000030201000a17011500fd0c000000000000000000000000000000001a0b",
  tailCalls: "010401600000030201000a0601040012000b",
  legacyExceptions: "010401600000030201000a080106000640190b0b",
  exceptions: "010401600000030201000a080106001f40000b0b",
  extendedConst: "0609017f00410141016a0b",
  gc: "0103015f00",
  multiMemory: "05050200010001",
  memory64: "0503010401",
} as const;
export type WasmFeature = keyof typeof FEATURES;

/** Starts a worker in each isolation, and ends it. */
export async function probe(): Promise<Support> {
  const wait = pageWaitMode();
  const log = globalThis.isSecureContext && "indexedDB" in globalThis && "locks" in navigator;
  const [opaque, frame, page, ed25519] = await Promise.all([
    starts("opaque"),
    wait === "jspi" && typeof document !== "undefined" && starts("frame"),
    starts("page"),
    hasEd25519(),
  ]);
  const isolation = { opaque, frame, page };
  const agents = log && wait !== null && compiles("") && (opaque || frame || page);
  const wasm = Object.fromEntries(Object.entries(FEATURES).map(([name, hex]) => [name, compiles(hex)]));
  return { agents, wait, isolation, log, persist: canPersist(), ed25519, wasm: wasm as Record<WasmFeature, boolean> };
}

async function starts(isolation: Isolation): Promise<boolean> {
  try {
    const host = await startWorker({ isolation });
    try {
      await host.ready;
      return true;
    } finally {
      host.end("it was only a trial");
    }
  } catch {
    return false;
  }
}

function compiles(hex: string): boolean {
  const bytes = hex.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? [];
  try {
    // Compiled, not only validated: a page's policy may forbid one and not the other.
    return new WebAssembly.Module(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, ...bytes)) !== null;
  } catch {
    return false;
  }
}

async function hasEd25519(): Promise<boolean> {
  try {
    await retry(() => crypto.subtle.generateKey("Ed25519", false, ["sign"]));
    return true;
  } catch {
    return false;
  }
}
