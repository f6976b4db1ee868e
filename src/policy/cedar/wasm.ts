/** Loads and compiles Cedar's WebAssembly. */
import { errorText } from "../../base/error-text.ts";
import { VakError } from "../../errors.ts";

/** Where Cedar's wasm comes from. */
export type WasmSource = string | URL | Response | PromiseLike<Response> | BufferSource | WebAssembly.Module;

/** By address, for all kernels of the page: compiling can take longer than the rest of a kernel's start. */
const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** @throws VakError `policy-unavailable` naming the address */
export function compile(source: WasmSource): Promise<WebAssembly.Module> {
  if (typeof source !== "string" && !(source instanceof URL)) return compileFrom(source);
  const address = String(source);
  let module = compiled.get(address);
  if (!module) {
    module = compileFrom(source);
    compiled.set(address, module);
    module.catch(() => compiled.delete(address)); // so that the next call tries again
  }
  return module;
}

async function compileFrom(source: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return WebAssembly.compile(source).catch((cause) => {
      throw unavailable("The bytes given are not Cedar's WebAssembly", cause);
    });
  }
  const from = typeof source === "string" || source instanceof URL ? source : undefined;
  let where = String(from ?? "the response given");
  try {
    const response = from === undefined ? await (source as Response | PromiseLike<Response>) : await fetch(from);
    where = response.url || where;
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    // Streaming insists on the exact MIME type, which many static hosts do not send.
    const streams = response.headers.get("content-type") === "application/wasm";
    return await (streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer()));
  } catch (cause) {
    throw unavailable(`Cedar's WebAssembly did not load from ${where}`, cause);
  }
}

export function unavailable(what: string, cause: unknown): VakError {
  return new VakError(
    "policy-unavailable",
    `${what}: ${errorText(cause)}. Serve the package's cedar.wasm, or give its address: createKernel({ cedar }).`,
    { cause },
  );
}
