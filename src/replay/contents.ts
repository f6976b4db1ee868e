/** The guest's half of a save point: memory and mutable globals of an instance. */
import { isEqual } from "./kept.ts";
import type { Capturable } from "./stack/capturable.ts";
import { LOAD_EXPORT, SAVE_EXPORT } from "./stack/exports.ts";

const PAGE_BYTES = 65_536;
const ZEROS = new Uint8Array(PAGE_BYTES);

/** An instance whose tables change cannot be saved. */
export interface Contents {
  pages: readonly Uint8Array[];
  globals: Uint8Array;
}

export const memoryOf = (exports: WebAssembly.Exports): WebAssembly.Memory | undefined =>
  exports.memory instanceof WebAssembly.Memory ? exports.memory : undefined;

export const bytesOf = (exports: WebAssembly.Exports): Uint8Array => new Uint8Array(memoryOf(exports)!.buffer);

/** @param before an earlier copy: equal pages are shared with it */
export function saveContents(
  exports: WebAssembly.Exports,
  { globalBytes }: Capturable,
  before: Contents | undefined,
): Contents | undefined {
  const memory = memoryOf(exports);
  if (!memory || memory.buffer.byteLength < globalBytes) return undefined;
  const bytes = new Uint8Array(memory.buffer);
  const pages: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += PAGE_BYTES) {
    const page = bytes.subarray(at, at + PAGE_BYTES);
    const same = [before?.pages[pages.length], ZEROS].find((known) => known && isEqual(known, page));
    pages.push(same ?? page.slice());
  }
  (exports[SAVE_EXPORT] as () => void)();
  const globals = bytes.slice(0, globalBytes);
  putBack(exports, { pages, globals }, globalBytes);
  return { pages, globals };
}

/** Writes the first `length` bytes of the memory as they were. */
export function putBack(exports: WebAssembly.Exports, { pages }: Contents, length: number): void {
  const bytes = bytesOf(exports);
  for (let n = 0; n * PAGE_BYTES < length; n++) bytes.set(pages[n]!, n * PAGE_BYTES);
}

/** Gives a fresh instance the contents of another one. */
export function restoreContents(exports: WebAssembly.Exports, contents: Contents): void {
  const memory = memoryOf(exports)!;
  const missing = contents.pages.length - memory.buffer.byteLength / PAGE_BYTES;
  if (missing > 0) memory.grow(missing);
  const bytes = bytesOf(exports);
  bytes.set(contents.globals);
  (exports[LOAD_EXPORT] as () => void)();
  contents.pages.forEach((page, n) => {
    bytes.set(page, n * PAGE_BYTES);
  });
}
