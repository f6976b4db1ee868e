/** Exports of a log, as bundles of every form, and the filters of its entries. */
import { afterEach, describe, expect, test } from "vitest";
import type { Entry } from "../../../src/audit/entry.ts";
import { type Bundle, joinBundles, openBundle, verify } from "../../../src/audit/index.ts";
import type { AgentRef } from "../../../src/audit/vocabulary/common.ts";
import type { AuditLog, EntryFilter } from "../../../src/log/log.ts";
import { closeLogs, NOTE, newName, openTracked } from "./fixtures.ts";

const POLICY = "permit (principal, action, resource);";

afterEach(closeLogs);

const newLog = () => openTracked(newName());

const grow = (log: AuditLog, size: number) =>
  Promise.all(Array.from({ length: size - log.size }, () => log.append(NOTE)));

async function filesOf(bundle: Bundle): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const path of await bundle.paths()) files.set(path, (await bundle.read(path, 2 ** 30))!);
  return files;
}

async function directoryFiles(root: FileSystemDirectoryHandle, prefix = ""): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for await (const [name, handle] of root.entries()) {
    const path = `${prefix}${name}`;
    if (handle instanceof FileSystemDirectoryHandle) {
      for (const [inner, bytes] of await directoryFiles(handle, `${path}/`)) files.set(inner, bytes);
    } else files.set(path, new Uint8Array(await (await (handle as FileSystemFileHandle).getFile()).arrayBuffer()));
  }
  return files;
}

/** Appends an agent with one run, of one allowed and one denied call, with private values. */
async function appendRun(log: AuditLog, name: string, tool: string): Promise<void> {
  const agent: AgentRef = { name, id: `${name}-${log.size}`, program: "ab".repeat(32) };
  const run = `run-${log.size}`;
  await log.append({ type: "policy-load", policies: ["policy0"] }, { policy: `${POLICY} // ${log.size}` });
  let policyDigest = "";
  for await (const { entry } of log.entries({ from: log.size - 1 })) {
    if (entry.type === "policy-load") ({ policyDigest } = entry);
  }
  await log.append({ type: "agent-spawn", agent, limits: {}, seed: 1, isolation: "opaque", machine: "wt1/1/1" });
  await log.append({ type: "run-start", agent, run, args: [], env: [], startTime: 0 });
  const call = { agent, run, action: `call:${tool}`, resource: tool, policyDigest, policies: ["policy0"] };
  const { seq } = await log.append(
    { type: "intent", ...call, call: 1, callDigest: "cd".repeat(32), decision: "allow" },
    { input: { n: log.size } },
  );
  await log.append({ type: "outcome", agent, run, call: 1, intentOf: seq, status: "ok", error: null }, { output: 1 });
  const denied = { callDigest: null, decision: "deny" as const, reason: "forbidden", errors: [] };
  await log.append({ type: "denial", ...call, call: 2, ...denied }, { input: { n: 2 } });
  const none = { exitCode: 0, trap: null, limit: null, message: null, digest: null, untraced: "no run" };
  await log.append({ type: "run-end", agent, run, status: "exited", ...none, usage: {} });
  await log.append({ type: "agent-close", agent });
}

describe("an export", () => {
  test("and its increments join into one bundle, at every size", async () => {
    const log = await newLog();
    const parts: Bundle[] = [];
    let since = 0;
    for (const size of [3, 3, 200, 256, 257, 300, 600, 600, 1024, 1025]) {
      await grow(log, size - 8 * Number(size === 300));
      if (size === 300) await appendRun(log, "a", "add");
      parts.push(await openBundle(await log.export({ since })));
      const joined = await joinBundles(parts);
      const report = await verify(joined, { keys: [log.vkey] });
      expect(report).toMatchObject({ ok: true, problems: [], size, missing: [] });
      // It has the same files as a whole export made now.
      const whole = await filesOf(await openBundle(await log.export()));
      expect([...(await filesOf(joined)).keys()].sort()).toEqual([...whole.keys()].sort());
      since = size;
    }
    // An increment is small, and does not verify by itself.
    const last = await filesOf(parts.at(-1)!);
    expect([...last.keys()].sort()).toEqual(["checkpoint", "keys.txt", "tile/0/004.p/1", "tile/entries/004.p/1"]);
    expect((await verify(parts.at(-1)!)).ok).toBe(false);
    // One of another log does not fit.
    const other = await newLog();
    await grow(other, 700);
    const wrong = await joinBundles([await openBundle(await other.export()), ...parts.slice(7)]);
    expect((await verify(wrong)).ok).toBe(false);
    await expect(log.export({ since: 5000 })).rejects.toMatchObject({ code: "invalid-argument" });
  });

  test("as a stream has the same files, and reports its progress", async () => {
    const log = await newLog();
    await grow(log, 700);
    await appendRun(log, "a", "add");
    const progress: number[] = [];
    const stream = await log.exportStream({
      onProgress: ({ entries, size, bytes }) => progress.push(entries, size, bytes),
    });
    const streamed = new Uint8Array(await new Response(stream).arrayBuffer());
    expect(await filesOf(await openBundle(streamed))).toEqual(await filesOf(await openBundle(await log.export())));
    expect(progress.slice(-3, -1)).toEqual([708, 708]);
    const entries = progress.filter((_, i) => i % 3 === 0);
    expect(entries).toEqual([...entries].sort((a, b) => a - b));
    const bytes = progress.filter((_, i) => i % 3 === 2);
    expect(bytes.every((b, i) => i === 0 || b > bytes[i - 1]!)).toBe(true);
  });

  test("can be aborted, and its stream canceled", async () => {
    const log = await newLog();
    await grow(log, 700);
    const stop = new AbortController();
    const exporting = log.export({ signal: stop.signal, onProgress: () => stop.abort() });
    await expect(exporting).rejects.toMatchObject({ code: "aborted" });
    const stream = await log.exportStream();
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    const failing = await log.exportStream({ signal: stop.signal });
    await expect(failing.getReader().read()).rejects.toMatchObject({ code: "aborted" });
    await log.append(NOTE);
  });

  // WebKitGTK has no file system to export to.
  test.skipIf(!navigator.storage?.getDirectory)(
    "into a directory is a plain tlog-tiles log, which the next export extends",
    async () => {
      const root = await navigator.storage.getDirectory();
      const name = `export-${crypto.randomUUID()}`;
      const directory = await root.getDirectoryHandle(name, { create: true });
      const log = await newLog();
      let since = 0;
      for (const size of [3, 255, 256, 300, 520]) {
        await grow(log, size);
        const checkpoint = await log.exportTo(directory, { since });
        expect(checkpoint.size).toBe(size);
        const files = await directoryFiles(directory);
        expect(await verify(files, { keys: [log.vkey] })).toMatchObject({ ok: true, problems: [], size });
        expect([...files.keys()].sort()).toEqual(
          [...(await filesOf(await openBundle(await log.export()))).keys()].sort(),
        );
        since = size;
      }
      await root.removeEntry(name, { recursive: true });
    },
  );

  test.skipIf(!navigator.storage?.getDirectory)(
    "into a directory deletes the values that were erased since the last one",
    async () => {
      const root = await navigator.storage.getDirectory();
      const name = `export-${crypto.randomUUID()}`;
      const directory = await root.getDirectoryHandle(name, { create: true });
      const log = await newLog();
      await appendRun(log, "a", "add");
      const { size: since } = await log.exportTo(directory);
      const values = async () =>
        [...(await directoryFiles(directory)).keys()].filter((path) => path.startsWith("values/"));
      const before = await values();
      const erased = before.map((path) => Number(/\d+/.exec(path)![0]));
      expect(erased.length).toBeGreaterThan(1);
      await log.erase(erased[0]!);
      await log.exportTo(directory, { since });
      expect(await values()).toEqual(before.slice(1));
      const report = await verify(await directoryFiles(directory), { keys: [log.vkey] });
      expect(report).toMatchObject({ ok: true, problems: [], missing: [], erased: [erased[0]] });
      // It is fine that there is nothing left to delete.
      await log.exportTo(directory);
      expect(await values()).toEqual(before.slice(1));
      await root.removeEntry(name, { recursive: true });
    },
  );

  test("made while agents append is consistent, and blocks none of them", async () => {
    const log = await newLog();
    await grow(log, 300);
    let going = true;
    const appending = (async () => {
      while (going) {
        await appendRun(log, "a", "add");
        await Promise.all(Array.from({ length: 50 }, () => log.append(NOTE)));
      }
    })();
    for (let i = 0; i < 8; i++) {
      const before = log.size;
      const report = await verify(await openBundle(await log.export()), { keys: [log.vkey] });
      expect(report).toMatchObject({ ok: true, problems: [], missing: [] });
      expect(report.size).toBeGreaterThanOrEqual(before);
    }
    going = false;
    await appending;
  });
});

describe("entries", () => {
  test("are filtered by agent, run, tool, decision and time, from a cursor on, and while following", async () => {
    const log = await newLog();
    await appendRun(log, "a", "add");
    await appendRun(log, "b", "wipe");
    await grow(log, 600);
    const all: Entry[] = [];
    for await (const { entry } of log.entries()) all.push(entry);
    const find = async (where: EntryFilter, from = 0) => {
      const found: number[] = [];
      for await (const { seq } of log.entries({ where, from })) found.push(seq);
      return found;
    };
    const those = (test: (entry: Entry) => boolean) => all.filter(test).map(({ seq }) => seq);
    expect(await find({})).toEqual(all.map(({ seq }) => seq));
    expect(await find({ types: ["intent", "denial"] })).toEqual(
      those(({ type }) => type === "intent" || type === "denial"),
    );
    expect(await find({ agent: "a" })).toEqual(those((e) => "agent" in e && e.agent.name === "a"));
    expect((await find({ agent: "a" })).length).toBe(7);
    const { agent } = all.find(({ type }) => type === "run-start") as Extract<Entry, { type: "run-start" }>;
    expect(await find({ agent: agent.id })).toEqual(await find({ agent: "a" }));
    expect(await find({ tool: "wipe" })).toEqual(those((e) => "action" in e && e.action === "call:wipe"));
    expect(await find({ tool: "wipe", decision: "deny" })).toEqual(
      those((e) => e.type === "denial" && e.resource === "wipe"),
    );
    expect((await find({ run: "run-1" })).length).toBe(5);
    const middle = all[300]!.time;
    expect([...(await find({ until: middle })), ...(await find({ since: middle }))]).toEqual(all.map(({ seq }) => seq));
    const [first] = await find({ decision: "deny" });
    expect(await find({ decision: "deny" }, first! + 1)).toEqual(those((e) => e.type === "denial").slice(1));

    const stop = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      const where = { types: ["denial"] } as const;
      for await (const { entry } of log.entries({ where, from: log.size, follow: true, signal: stop.signal })) {
        seen.push((entry as Extract<Entry, { type: "denial" }>).resource);
        if (seen.length === 2) stop.abort();
      }
    })();
    await appendRun(log, "c", "one");
    await grow(log, 700);
    await appendRun(log, "c", "two");
    await following;
    expect(seen).toEqual(["one", "two"]);
  });
});
