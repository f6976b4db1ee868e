/** The convention by which functions of a reactor are called: JSON in, JSON out, through `alloc` and `dealloc`. */
import type { Limits } from "../limits.ts";
import { RESERVED_PREFIX } from "../meter/index.ts";
import type { RunRequest } from "../protocol/messages.ts";
import { Errno } from "./preview1/errno.ts";
import type { GuestMemory } from "./wasi/memory.ts";

/** The program broke the convention for calls of its functions. */
export class AbiError extends Error {}

/**
 * Calls a function of a reactor: writes the input where its `alloc` says, and reads the answer where the function
 * says: its length in four bytes, little-endian, then that many bytes of JSON.
 */
export async function call(
  exports: WebAssembly.Exports,
  memory: GuestMemory,
  { callBytes }: Limits,
  { name, input }: NonNullable<RunRequest["call"]>,
  run: (exported: unknown, ...args: number[]) => Promise<unknown> | unknown,
): Promise<Uint8Array<ArrayBuffer>> {
  const { alloc, dealloc } = exports;
  const target = Object.hasOwn(exports, name) ? exports[name] : undefined;
  if (typeof target !== "function" || target.length !== 2 || name.startsWith(RESERVED_PREFIX)) {
    throw new AbiError(`it exports no function ${JSON.stringify(name)} of two parameters`);
  }
  const pointer = (value: unknown, what: string): number =>
    typeof value === "number" && value !== 0 ? value : refuse(`${what} gave no pointer`);
  try {
    const given = pointer(await run(alloc, input.byteLength), "alloc");
    memory.write(given, input);
    const answer = pointer(await run(target, given, input.byteLength), name);
    const length = memory.view(answer, 4).getUint32(0, true);
    if (length > callBytes) refuse(`its answer has ${length} bytes; the limit callBytes is ${callBytes}`);
    const value = memory.bytes(answer + 4, length).slice();
    if (!isJson(value)) refuse("its answer is not UTF-8 JSON");
    if (typeof dealloc === "function") {
      await run(dealloc, given, input.byteLength);
      await run(dealloc, answer, length + 4);
    }
    return value;
  } catch (error) {
    if (error instanceof Errno) refuse("it gave a pointer outside its memory");
    // It was passed a number where its parameter has another type.
    if (error instanceof TypeError) refuse(`the parameters of ${name}, alloc and dealloc are i32`);
    throw error;
  }
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

function refuse(message: string): never {
  throw new AbiError(message);
}
