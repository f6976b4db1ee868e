/** The page of the call benchmark: a tool called 1000 times through vak, and through a bare worker. */
import { type Agent, createKernel, defineTool, type Run } from "../../../src/index.ts";
import { CALLS } from "../programs.ts";
import { fetchBytes, runBare } from "./bare.ts";

const add = defineTool({
  name: "add",
  description: "Adds two integers.",
  inputSchema: {
    type: "object",
    properties: { a: { type: "integer" }, b: { type: "integer" } },
    required: ["a", "b"],
  },
  execute: ({ a, b }) => a + b,
});
const wipe = defineTool({
  name: "wipe",
  description: "Wipes a path.",
  inputSchema: { type: "object", properties: { path: { type: "string" } } },
  execute: () => "wiped",
});
const policy = `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`;

const kernel = await createKernel({ policy, tools: [add, wipe], log: { name: crypto.randomUUID() } });
const program = await fetchBytes("/bench-guests/call-add.wasm");
const allowed = await kernel.spawn({ name: "allowed", program });
const denied = await kernel.spawn({ name: "denied", program: await fetchBytes("/bench-guests/call-wipe.wasm") });
const module = await WebAssembly.compile(program);

/** µs per call, between the two lines that the program prints before and after its calls. */
function perCall(times: number[]): number {
  const [first, last] = [times[0], times.at(-1)];
  if (times.length !== 2) throw new Error(`the program printed ${times.length} lines, not 2`);
  return ((last! - first!) * 1000) / CALLS;
}

async function vak(agent: Agent): Promise<number> {
  const run: Run = agent.run();
  const times: number[] = [];
  for await (const _ of run.stdout) times.push(performance.now());
  const { status, usage } = await run.result;
  if (status !== "exited" || usage.calls !== CALLS)
    throw new Error(`the run ended: ${status} after ${usage.calls} of ${CALLS} calls`);
  return perCall(times);
}

export const vakAllowed = (): Promise<number> => vak(allowed);
export const vakDenied = (): Promise<number> => vak(denied);

const database = await new Promise<IDBDatabase>((resolve, reject) => {
  const opening = indexedDB.open(crypto.randomUUID(), 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("entries", { autoIncrement: true });
  opening.onsuccess = () => resolve(opening.result);
  opening.onerror = () => reject(opening.error);
});

function commit(): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("entries", "readwrite", { durability: "strict" });
    transaction.objectStore("entries").add(new Uint8Array(512));
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/** µs per call in a bare worker, whose page makes `commits` strict commits before each answer, and nothing else. */
export async function bare(commits: number): Promise<number> {
  const times: number[] = [];
  const end = Promise.withResolvers<void>();
  const worker = runBare({ program: module, args: ["agent"] }, async (message) => {
    if ("output" in message) times.push(performance.now());
    if ("end" in message) end.resolve();
    if (!("call" in message)) return;
    for (let i = 0; i < commits; i++) await commit();
    const { input } = JSON.parse(new TextDecoder().decode(message.call));
    const answer = new TextEncoder().encode(JSON.stringify({ ok: input.a + input.b }));
    worker.postMessage({ answer }, [answer.buffer]);
  });
  await end.promise;
  worker.terminate();
  return perCall(times);
}
