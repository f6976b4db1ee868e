/** The page of the stop benchmark: a spinning program stopped by vak, and a bare worker terminated. */
import { createKernel } from "../../../src/index.ts";
import { fetchBytes } from "./bare.ts";

const kernel = await createKernel({ log: { name: crypto.randomUUID() } });
const agent = await kernel.spawn({
  name: "spinner",
  program: await fetchBytes("/bench-guests/say-and-spin.wasm"),
  limits: { fuel: Number.MAX_SAFE_INTEGER },
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Keeps the main thread busy, in tasks of 10 ms without a gap, until `over`. */
function work(over: () => boolean): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    const until = performance.now() + 10;
    while (performance.now() < until);
    if (!over()) port2.postMessage(null);
  };
  port2.postMessage(null);
}

/** ms from aborting a spinning run to its result, which is in the log by then. */
export async function vak(count: number, how: "idle" | "busy"): Promise<number[]> {
  const took: number[] = [];
  let over = false;
  if (how === "busy") work(() => over);
  for (let i = 0; i < count; i++) {
    const asked = new AbortController();
    const run = agent.run({ signal: asked.signal });
    await run.stdout.getReader().read();
    // At a random time between two of the meter's checks.
    await pause(20 + Math.random() * 20);
    const began = performance.now();
    asked.abort();
    const result = await run.result;
    took.push(performance.now() - began);
    if (result.status !== "stopped" || result.limit !== "aborted") throw new Error(`the run ended: ${result.status}`);
  }
  over = true;
  return took;
}

const bareSpinner = `data:text/javascript,${encodeURIComponent(`onmessage = async ({ data: { program, memory } }) => {
  const { instance } = await WebAssembly.instantiate(program, { env: { memory } });
  postMessage("spinning");
  instance.exports.spin();
};`)}`;

/** ms from `terminate()` on a worker that counts in shared memory to the last observed change of the count. */
export async function terminate(): Promise<number> {
  const program = await fetchBytes("/bench-guests/shared-spin.wasm");
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const count = new Int32Array(memory.buffer);
  const worker = new Worker(bareSpinner);
  const spinning = new Promise((resolve) => {
    worker.onmessage = resolve;
  });
  worker.postMessage({ program, memory });
  await spinning;
  await pause(50);
  if (Atomics.load(count, 0) === 0) throw new Error("the worker does not spin");
  const began = performance.now();
  worker.terminate();
  let [last, seen] = [began, Atomics.load(count, 0)];
  while (performance.now() - last < 500) {
    await pause(1);
    const now = Atomics.load(count, 0);
    if (now !== seen) [last, seen] = [performance.now(), now];
  }
  return last - began;
}
