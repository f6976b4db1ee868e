/** Compiles kernels.c with clang. */
import { readFile } from "node:fs/promises";
import { commands, Exit, runLLVM } from "@yowasp/clang";

const flags = ["--target=wasm32", "-O2", "-std=gnu17", "-mbulk-memory", "-nostdlib", "-Wl,--no-entry,--strip-all"];

/** The compiled kernels.c, in base64. */
export async function buildKernels(): Promise<string> {
  const source = await readFile(new URL("kernels.c", import.meta.url));
  await runLLVM(undefined, {}, { fetchProgress: () => {} }); // loads the compiler without reporting on it
  let messages = "";
  const decoder = new TextDecoder();
  const print = (bytes: Uint8Array | null) => {
    if (bytes) messages += decoder.decode(bytes, { stream: true });
  };
  try {
    const files = await commands.clang?.(
      [...flags, "kernels.c", "-o", "kernels.wasm"],
      { "kernels.c": source },
      { stdout: print, stderr: print, decodeASCII: false },
    );
    const program = files?.["kernels.wasm"];
    if (program instanceof Uint8Array) return Buffer.from(program).toString("base64");
  } catch (error) {
    if (!(error instanceof Exit)) throw error;
  }
  throw new Error(`kernels.c does not compile\n${messages}`);
}
