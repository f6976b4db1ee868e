/** A program's instance: the gate instantiated over the host's functions, and the program over the gate. */
import { clip } from "../base/clip.ts";
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import type { Admitted, WaitMode } from "../protocol/messages.ts";
import { gateModule } from "./gate.ts";
import type { GuestMemory } from "./wasi/memory.ts";
import type { Process } from "./wasi/process.ts";

/**
 * Whether to compile and instantiate asynchronously: a replay on a page must not block it, and Chromium forbids that. A
 * worker has nothing else to do meanwhile; and in WebKitGTK 2.50 the promise of `WebAssembly.compile` settled, once in
 * 50,297 times in a worker, only when the next message came, which may be never.
 */
export const ON_PAGE = "document" in globalThis;

/** A program that this worker can run. */
export interface Loaded extends Admitted {
  gate: WebAssembly.Module;
}

export function load(program: Admitted): Loaded {
  const wanted = new Set(program.imports.map(({ name }) => name));
  return { ...program, gate: new WebAssembly.Module(gateModule(wanted)) };
}

/** A program's instance, with its memory and its process. */
export interface Instance {
  exports: WebAssembly.Exports;
  memory: GuestMemory;
  process: Process;
}

/** Instantiates the gate over the host's functions, and the program over the gate's. */
export async function link(
  program: Admitted,
  gate: WebAssembly.Module,
  process: Process,
  wait: WaitMode,
): Promise<WebAssembly.Exports> {
  const host = nullRecord<WebAssembly.ImportValue>();
  for (const [name, fn] of Object.entries(process.host)) {
    host[name] = wait === "jspi" && process.waits.has(name) ? new WebAssembly.Suspending(fn) : fn;
  }
  const doors = new WebAssembly.Instance(gate, { host }).exports;
  const imports = nullRecord<WebAssembly.ModuleImports>();
  for (const { module, name } of program.imports) {
    imports[module] ??= nullRecord();
    imports[module][name] = doors[name]!;
  }
  try {
    if (ON_PAGE) return (await WebAssembly.instantiate(program.module, imports)).exports;
    return new WebAssembly.Instance(program.module, imports).exports;
  } catch (cause) {
    // Firefox throws a string.
    const message = errorText(cause);
    if (!NO_ROOM.test(message)) throw cause;
    throw new VakError("unsupported", `The engine has no room for the program: ${clip(message, 200)}.`, { cause });
  }
}

/** Words of the errors of Chromium, Firefox and WebKit for a memory or table that they cannot allocate. */
const NO_ROOM = /out of memory|allocat/i;

/** Without a prototype, so that there is no `constructor` for a guest to import. */
const nullRecord = <T>(): Record<string, T> => Object.create(null) as Record<string, T>;

export function enter(entry: unknown, wait: WaitMode, args: number[]): Promise<unknown> | unknown {
  const fn = entry as (...args: number[]) => unknown;
  return wait === "jspi" ? WebAssembly.promising(fn)(...args) : fn(...args);
}
