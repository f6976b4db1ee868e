/** The page of the log benchmark: entries appended to vak's log, and as many bytes stored in raw IndexedDB. */
import type { Draft } from "../../../src/audit/entry.ts";
import { commitValue } from "../../../src/audit/value.ts";
import type { AgentRef } from "../../../src/audit/vocabulary/common.ts";
import { openLog } from "../../../src/log/log.ts";

const log = await openLog({ name: crypto.randomUUID() });
const agent: AgentRef = { name: "bench", id: crypto.randomUUID(), program: "ab".repeat(32) };
const run = `${agent.id}/1`;
const policy = "permit (principal, action, resource);";
await log.append({ type: "policy-load", policies: ["policy0"] }, { policy });
await log.append({
  type: "agent-spawn",
  agent,
  limits: { calls: 1000 },
  seed: 1,
  isolation: "opaque",
  machine: "wt1/1/1",
});
await log.append({ type: "run-start", agent, run, args: [], env: [], startTime: 0 });

const input = { a: 1, b: 2 };
let call = 0;
const denial = (): Draft => ({
  type: "denial",
  agent,
  run,
  call: ++call,
  action: "call:add",
  resource: "add",
  callDigest: "cd".repeat(32),
  decision: "deny",
  reason: "no-permit",
  policies: [],
  errors: [],
  policyDigest: "",
});
const append = () => log.append(denial(), { input });

const { seq } = await append();
const sizes = [0, commitValue("input", input).file.length];
for await (const { bytes } of log.entries({ from: seq })) sizes[0] = bytes.length;

const database = await new Promise<IDBDatabase>((resolve, reject) => {
  const opening = indexedDB.open(crypto.randomUUID(), 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("entries", { autoIncrement: true });
  opening.onsuccess = () => resolve(opening.result);
  opening.onerror = () => reject(opening.error);
});

/** Stores as many bytes as the log does for that many entries, in one strict transaction. */
function put(entries: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("entries", "readwrite", { durability: "strict" });
    const store = transaction.objectStore("entries");
    for (let i = 0; i < entries; i++) for (const size of sizes) store.add(new Uint8Array(size));
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/** Entries per second in vak's log. */
export async function vak(batches: number, batch: number): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < batches; i++) await Promise.all(Array.from({ length: batch }, append));
  return (batches * batch * 1000) / (performance.now() - began);
}

/** Entries per second in raw IndexedDB. */
export async function raw(batches: number, batch: number): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < batches; i++) await put(batch);
  return (batches * batch * 1000) / (performance.now() - began);
}

/** How many bytes the log stores for an entry, and for its value. */
export const bytesOfEntry = (): number[] => sizes;
