/** Programs: read, hashed, and compiled once for all agents of a kernel that run the same one. */
import { transfer } from "comlink";
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Admission, WaitMode } from "../protocol/messages.ts";
import { parseAdmitted } from "../protocol/parse.ts";
import { type Host, type Isolation, pageWaitMode, WorkerLost } from "../worker/host.ts";
import { toBytes } from "./agent-files.ts";
import type { ProgramSource, SpawnOptions } from "./options.ts";

/** Compiled programs that a kernel keeps. */
const MAX_PROGRAMS = 32;

/** Those that were compiled, as they may be shared. */
export class Programs {
  private readonly compiled = new Map<string, Promise<Admission>>();

  /**
   * Gives the worker the program: compiled by an earlier agent's worker where it was the same, else by this one.
   *
   * @param share whether later agents may have it; not of a worker that has labelled files, which a module could carry
   */
  async admit(
    host: Host,
    bytes: Uint8Array<ArrayBuffer>,
    program: string,
    limits: Limits,
    share: boolean,
  ): Promise<Admission> {
    const key = `${program} ${limits.memoryBytes} ${limits.tableElements} ${limits.stackDepth}`;
    const cached = await this.compiled.get(key)?.catch(() => undefined);
    if (cached?.module) {
      await host.call("adopt", { ...cached, module: cached.module });
      return cached;
    }
    if (!share) return compile(host, bytes, false);
    const compiled = compile(host, bytes, true);
    this.compiled.set(key, compiled);
    if (this.compiled.size > MAX_PROGRAMS) this.compiled.delete(this.compiled.keys().next().value!);
    try {
      return await compiled;
    } catch (error) {
      this.compiled.delete(key);
      throw error;
    }
  }
}

/** @param share whether the compiled module is to come back, for other workers */
export async function compile(host: Host, bytes: Uint8Array<ArrayBuffer>, share: boolean): Promise<Admission> {
  let reply: unknown;
  try {
    reply = await host.call("compile", transfer(bytes, [bytes.buffer]), share);
  } catch (cause) {
    if (cause instanceof WorkerLost) throw cause;
    throw new VakError("invalid-module", (cause as Error).message, { cause });
  }
  const admitted = parseAdmitted(reply);
  if (!admitted || (admitted.module !== null) !== share)
    throw new WorkerLost("the worker answered with what is not of the protocol");
  return admitted;
}

/** Tells a Content Security Policy that forbids WebAssembly from a module that is none. */
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

/** How the guests of an agent will wait. */
export function waitMode(isolation: Isolation): WaitMode {
  const mode = pageWaitMode();
  if (isolation === "frame" && mode !== "jspi") {
    throw new VakError(
      "unsupported",
      'Isolation "frame" needs WebAssembly JavaScript Promise Integration, which this browser does not have (Chrome 137, ' +
        'Firefox 153, Safari 27 do): no memory can be shared with a sandboxed frame. Use "opaque".',
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

/** The program's bytes, in a buffer of our own: what is hashed is what is compiled. */
export async function readProgram(
  source: ProgramSource,
  onProgress: SpawnOptions["onProgress"],
): Promise<Uint8Array<ArrayBuffer>> {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return toBytes(source);
  const given = typeof source === "string" || source instanceof URL ? fetch(source) : source;
  try {
    const response = await given;
    if (!response.ok) throw new Error(`HTTP status ${response.status} from ${response.url}`);
    if (!onProgress || !response.body) return new Uint8Array(await response.arrayBuffer());
    // The length is that of the bytes on the wire: of no use where they were compressed.
    const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
    const total = length === null ? null : Number(length);
    let loaded = 0;
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          loaded += chunk.byteLength;
          onProgress({ phase: "load", loaded, total });
          controller.enqueue(chunk);
        },
      }),
    );
    return new Uint8Array(await new Response(counted).arrayBuffer());
  } catch (cause) {
    throw new VakError("invalid-module", `The program could not be loaded: ${(cause as Error).message}.`, { cause });
  }
}
