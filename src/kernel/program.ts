/** Programs: read, and compiled once for all agents of a kernel that run the same one. */

import { transfer } from "comlink";
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { compiledKey } from "../protocol/compiled.ts";
import type { Admission } from "../protocol/messages.ts";
import { parseAdmitted } from "../protocol/parse.ts";
import { type Host, OFF_PROTOCOL, WorkerLost } from "../worker/host.ts";
import type { SpawnOptions } from "./options.ts";
import { toBytes } from "./own-bytes.ts";

/** Compiled programs that a kernel keeps. */
const MAX_PROGRAMS = 32;

/** Compiled programs, by digest and by the limits that are compiled in; agents share them. */
export class Programs {
  readonly #compiled = new Map<string, Promise<Admission>>();

  /**
   * Gives the worker the program: as another agent's worker compiled it, else compiled by this worker.
   *
   * @param share whether later agents may have it; not from a worker that has labelled files, which a module could
   *   carry
   */
  async admit(
    host: Host,
    bytes: Uint8Array<ArrayBuffer>,
    program: string,
    limits: Limits,
    share: boolean,
  ): Promise<Admission> {
    const key = compiledKey(program, limits);
    const cached = await this.#compiled.get(key)?.catch(() => undefined);
    if (cached?.module) {
      await host.call("adopt", { ...cached, module: cached.module });
      return cached;
    }
    if (!share) return compile(host, bytes, false);
    const compiled = compile(host, bytes, true);
    this.#compiled.set(key, compiled);
    if (this.#compiled.size > MAX_PROGRAMS) this.#compiled.delete(this.#compiled.keys().next().value!);
    try {
      return await compiled;
    } catch (error) {
      this.#compiled.delete(key);
      throw error;
    }
  }
}

/**
 * @param share whether the compiled module is to come back, for other workers
 * @throws VakError `invalid-module`; WorkerLost
 */
export async function compile(host: Host, bytes: Uint8Array<ArrayBuffer>, share: boolean): Promise<Admission> {
  let reply: unknown;
  try {
    reply = await host.call("compile", transfer(bytes, [bytes.buffer]), share);
  } catch (cause) {
    if (cause instanceof WorkerLost) throw cause;
    throw new VakError("invalid-module", errorText(cause), { cause });
  }
  const admitted = parseAdmitted(reply);
  if (!admitted || (admitted.module !== null) !== share) throw new WorkerLost(OFF_PROTOCOL);
  return admitted;
}

/**
 * The program's bytes, in a buffer of the kernel's own: what is hashed is what is compiled.
 *
 * @throws VakError `invalid-module` when they cannot be loaded
 */
export async function readProgram(
  { program: source, signal }: Pick<SpawnOptions, "program" | "signal">,
  onProgress: SpawnOptions["onProgress"],
): Promise<Uint8Array<ArrayBuffer>> {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return toBytes(source);
  const given =
    typeof source === "string" || source instanceof URL ? fetch(source, { signal: signal ?? null }) : source;
  try {
    const response = await given;
    if (!response.ok) throw new Error(`HTTP status ${response.status} from ${response.url}`);
    if (!onProgress || !response.body) return new Uint8Array(await response.arrayBuffer());
    // The header counts bytes on the wire, which says nothing of the program's size where they are compressed.
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
    throw new VakError("invalid-module", `The program could not be loaded: ${errorText(cause)}.`, { cause });
  }
}
