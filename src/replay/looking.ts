/** Looks inside a replayed run: its state at one point, and its calls step by step. */

import type { Volume } from "../sandbox/fs/volume.ts";
import type { ComparingOutside } from "./comparing.ts";
import { memoryOf } from "./contents.ts";
import { GLOBAL_PREFIX } from "./globals.ts";
import type { Outputs } from "./output.ts";
import type { State, Step } from "./result.ts";

export function stateOf(
  { reached, calls, request, exports }: ComparingOutside,
  fuel: number,
  volume: Volume,
  output: Outputs,
): State {
  const globals: State["globals"] = {};
  for (const [name, value] of Object.entries(exports ?? {})) {
    if (!name.startsWith(GLOBAL_PREFIX) || !(value instanceof WebAssembly.Global)) continue;
    try {
      const held: unknown = value.value;
      if (typeof held === "number" || typeof held === "bigint")
        globals[Number(name.slice(GLOBAL_PREFIX.length))] = held;
    } catch {} // A vector has no value in JavaScript.
  }
  const memory = exports && memoryOf(exports);
  const list = volume.list();
  return {
    reached,
    calls,
    fuel,
    request: request ? new TextDecoder().decode(request) : null,
    memory: memory ? new Uint8Array(memory.buffer).slice() : new Uint8Array(),
    globals,
    files: new Map(list.flatMap(({ path, type }) => (type === "file" ? [[path, volume.readFile(path)!]] : []))),
    directories: list.flatMap(({ path, type }) => (type === "directory" ? [path] : [])),
    stdout: output[1].all(),
    stderr: output[2].all(),
  };
}

/** @returns a list that fills up while the run is executed */
export function listSteps(outside: ComparingOutside, output: Outputs): Step[] {
  const steps: Step[] = [];
  const decoder = new TextDecoder();
  outside.onCall = (request, answer) => {
    const { calls, fuel, exports } = outside;
    steps.push({
      call: calls,
      fuel,
      request: decoder.decode(request),
      answer: answer ? decoder.decode(answer) : null,
      memoryBytes: (exports && memoryOf(exports))?.buffer.byteLength ?? 0,
      stdout: output[1].bytes,
      stderr: output[2].bytes,
    });
  };
  return steps;
}
