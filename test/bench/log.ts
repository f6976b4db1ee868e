/** Benchmarks of the log: entries committed per second, and the verification of a bundle. */
import { createHash } from "node:crypto";
import { sha256 } from "@noble/hashes/sha2.js";
import { logOpen, MemoryLog, type Step } from "../unit/audit/memory-log.ts";
import type { Section } from "./harness.ts";
import { figure, type Pair, ratioCells } from "./stats.ts";

/** Entries committed per second, in batches and one at a time, compared with raw IndexedDB. */
export const log: Section = {
  name: "log",
  where: "browser",
  async measure({ browser, times, launch }) {
    const batches: Pair[] = [];
    const pipelined: Pair[] = [];
    const single: Pair[] = [];
    let sizes: number[] = [];
    for (let i = 0; i < times(3, 1); i++) {
      await using browser = await launch();
      await using tab = await browser.visit("log");
      sizes = await tab.call("bytesOfEntry");
      // The smallest commits first, so that none pays for the clean-up after a larger one.
      for (const [pairs, ...args] of [
        [single, 1000, 1],
        [batches, 20, 100],
        [pipelined, 5, 2000],
      ] as const) {
        for (let j = -1; j < times(3, 1); j++) {
          const pair: Pair = [await tab.call("vak", ...args), await tab.call("raw", ...args)];
          if (j >= 0) pairs.push(pair);
        }
      }
    }
    const rows = [
      ["2000 appended at a time", ...ratioCells(pipelined, "/s")],
      ["100 appended at a time", ...ratioCells(batches, "/s")],
      ["one at a time", ...ratioCells(single, "/s")],
    ];
    const title = `log, ${browser}: entries of ${sizes[0]} bytes and their values of ${sizes[1]}`;
    return [{ title, head: ["entries committed", "vak", "raw IndexedDB", "ratio", "middle half", "pairs"], rows }];
  },
};

const ENTRIES = 100_000;

/** Verifying a bundle of 100,000 entries, compared with only hashing its entries and values. */
export const verify: Section = {
  name: "verify",
  where: "node",
  async measure({ times, audit }) {
    const log = await logOf(ENTRIES);
    const bundle = await log.bundle();
    const pieces = [...log.stored, ...log.files.map(({ file }) => file)];
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    const noble: Pair[] = [];
    const node: Pair[] = [];
    for (let i = -1; i < times(5, 2); i++) {
      const verifying = await timed(async () => {
        const report = await audit.verify(bundle);
        if (!report.ok || report.size !== ENTRIES) throw new Error(JSON.stringify(report.problems));
      });
      const hashing = await timed(() => {
        for (const piece of pieces) sha256(piece);
      });
      const native = await timed(() => {
        for (const piece of pieces) createHash("sha256").update(piece).digest();
      });
      if (i < 0) continue;
      noble.push([verifying, hashing]);
      node.push([verifying, native]);
    }
    const head = ["100,000 entries", "verify", "hash", "ratio", "middle half", "pairs"];
    const rows = [
      ["against @noble/hashes, which it uses", ...ratioCells(noble, "ms")],
      ["against node:crypto", ...ratioCells(node, "ms")],
    ];
    return [
      { title: `verify, Node: ${figure(bytes / 1e6)} MB of entries and values, one value per entry`, head, rows },
    ];
  },
};

async function timed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** The log of one run, filled up to `size` with calls: an intent and an outcome each, with their values. */
async function logOf(size: number): Promise<MemoryLog> {
  const log = new MemoryLog();
  const agent = { name: "bench", id: "a1", program: "ab".repeat(32) };
  const run = "a1/1";
  const opening: Step[] = [
    await logOpen(),
    [{ type: "policy-load", policies: ["policy0"] }, { policy: "permit (principal, action, resource);" }],
    [{ type: "agent-spawn", agent, limits: { calls: size }, seed: 1, isolation: "opaque", machine: "wt1/1/1" }],
    [{ type: "run-start", agent, run, args: [], env: [], startTime: 0 }],
  ];
  for (const step of opening) log.append(...step);
  log.commit();
  const { policyDigest } = JSON.parse(new TextDecoder().decode(log.stored[1]));
  for (let call = 1; call <= (size - opening.length) / 2; call++) {
    const position = { agent, run, call };
    const what = { action: "call:add", resource: "add", callDigest: "cd".repeat(32) };
    const decided = { decision: "allow" as const, policies: ["policy0"], policyDigest };
    const seq = log.append({ type: "intent", ...position, ...what, ...decided }, { input: { a: call, b: 2 } });
    log.append({ type: "outcome", ...position, intentOf: seq, status: "ok", error: null }, { output: call + 2 });
  }
  log.commit();
  return log;
}
