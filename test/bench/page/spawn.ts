/** The page of the spawn benchmark: a program spawned by vak, and in a bare worker. */
import { createKernel, type Kernel } from "../../../src/index.ts";
import { fetchBytes, runBare } from "./bare.ts";

const programs = {
  hello: { path: "/guests/hello.wasm", args: [] },
  python: { path: "/python/python.wasm", args: ["-c", "print(1)"] },
};
export type Program = keyof typeof programs;

let kernel: Kernel;
let bytes: Uint8Array<ArrayBuffer>;
let args: string[];
/** The compiled program, for bare workers that do not compile it themselves. */
let module: WebAssembly.Module;

/** Prepares what both sides need before they start. The kernel has a policy, because one whose agents act has one. */
export async function prepare(program: Program): Promise<void> {
  kernel = await createKernel({
    log: { name: crypto.randomUUID() },
    policy: "permit (principal, action, resource);",
  });
  bytes = await fetchBytes(programs[program].path);
  args = programs[program].args;
}

/** Waits until earlier work is done: the kernel starts its spare worker 100 ms after a spawn. */
export const rest = () => new Promise((resolve) => setTimeout(resolve, 500));

/** ms from `spawn` to the first bytes of output. */
export async function vak(): Promise<number> {
  const began = performance.now();
  const agent = await kernel.spawn({ name: "agent", program: bytes });
  const run = agent.run({ args });
  await run.stdout.getReader().read();
  const took = performance.now() - began;
  const { status } = await run.result;
  if (status !== "exited") throw new Error(`the run ended: ${status}`);
  await agent.close();
  return took;
}

/** As {@link vak}, right after another spawn, when the kernel has no spare worker. */
export async function vakAgain(): Promise<number> {
  const other = await kernel.spawn({ name: "other", program: bytes });
  const took = await vak();
  await other.close();
  return took;
}

/** ms from `new Worker` to the first bytes of output. */
export async function bare(how: "compile" | "compiled"): Promise<number> {
  if (how === "compiled") module ??= await WebAssembly.compile(bytes);
  const first = Promise.withResolvers<number>();
  const end = Promise.withResolvers<void>();
  const began = performance.now();
  const program = how === "compiled" ? module : bytes;
  const worker = runBare({ program, args: ["agent", ...args] }, (message) => {
    if ("output" in message) first.resolve(performance.now() - began);
    if ("end" in message) end.resolve();
  });
  const took = await first.promise;
  await end.promise;
  worker.terminate();
  return took;
}
