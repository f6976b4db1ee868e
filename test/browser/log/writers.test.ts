/** One log, one writer: second tabs, and what a session that was cut off leaves behind. */
import { afterEach, describe, expect, test } from "vitest";
import { verifyProof } from "../../../src/audit/index.ts";
import { createKernel } from "../../../src/index.ts";
import { type AuditLog, openLog } from "../../../src/log/log.ts";
import { add as addTool } from "../../setup/kernel.ts";
import {
  allOf,
  beginRun,
  closeLogs,
  databaseOf,
  END,
  intent,
  NOTE,
  newName,
  openTracked,
  outcome,
  POLICY,
  recordOf,
  refusal,
  SPAWN,
  START,
  tamper,
  verified,
} from "./fixtures.ts";

afterEach(closeLogs);

describe("a log has one writer", () => {
  test("a second one is refused until the first has closed", async () => {
    const name = newName();
    const first = await openTracked(name);
    const error = await refusal(openLog({ name }));
    expect(error.code).toBe("log-in-use");
    await first.append(NOTE);
    await first.close();
    const second = await openTracked(name);
    await second.append(NOTE);
    expect((await refusal(first.append(NOTE))).code).toBe("closed");
    await verified(second);
  });

  test("an open that fails releases the lock", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    await log.close();
    await tamper(name, "entries", (entries) => entries.delete(1));
    expect((await refusal(openLog({ name }))).code).toBe("log-corrupt");
    expect((await refusal(openLog({ name }))).code).toBe("log-corrupt");
  });

  test("a stored head that was changed from outside ends the log, and nothing is written", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    await tamper(name, "entries", (entries) => {
      const get = entries.get("head");
      get.onsuccess = () => entries.put({ ...get.result, size: 5 }, "head");
    });
    const errors = await Promise.all([refusal(log.append(NOTE)), refusal(log.append(NOTE)), log.failed]);
    for (const error of errors) expect(error.code).toBe("log-unavailable");
    expect((await refusal(log.append(NOTE))).code).toBe("log-unavailable");
    const db = await databaseOf(name);
    expect(await db.count("entries", IDBKeyRange.upperBound(Infinity))).toBe(2);
    db.close();
  });

  test("a lock that is stolen ends the log", async () => {
    const name = newName();
    const log = await openTracked(name);
    await navigator.locks.request(`vak:log:${name}`, { steal: true }, async () => {
      expect((await log.failed).code).toBe("log-unavailable");
      expect((await refusal(log.append(NOTE))).code).toBe("log-unavailable");
    });
  });
});

describe("a second tab", () => {
  test("with onBusy wait, it opens the log once the first has closed it", async () => {
    const name = newName();
    const first = await openTracked(name);
    let opened = false;
    const waiting = openTracked(name, { onBusy: "wait" }).then((log) => {
      opened = true;
      return log;
    });
    await Promise.all(Array.from({ length: 20 }, () => first.append(NOTE)));
    await new Promise((done) => setTimeout(done, 50));
    expect(opened).toBe(false);
    await first.close();
    const second = await waiting;
    await second.append(NOTE);
    await verified(second);
    expect([second.size, second.origin]).toEqual([22, first.origin]);
  });

  test("with onBusy wait, a signal ends the waiting", async () => {
    const name = newName();
    await openTracked(name);
    const stop = new AbortController();
    const waiting = refusal(openLog({ name, onBusy: "wait", signal: stop.signal }));
    stop.abort();
    expect((await waiting).code).toBe("aborted");
    expect((await refusal(openLog({ name, onBusy: "wait", signal: stop.signal }))).code).toBe("aborted");
  });

  test("with onBusy own, it writes a log of its own", async () => {
    const name = newName();
    const logs: AuditLog[] = [];
    for (let i = 0; i < 3; i++) {
      logs.push(await openTracked(name, { onBusy: "own" }));
    }
    expect(logs.map((log) => log.name)).toEqual([name, `${name}.2`, `${name}.3`]);
    expect(new Set(logs.map((log) => log.origin)).size).toBe(3);
    for (const log of logs) {
      await log.append(NOTE);
      await verified(log);
    }
  });

  test("with onBusy read, it follows what is written, and becomes the writer once the first has closed", async () => {
    const name = newName();
    const first = await openTracked(name);
    await first.append(NOTE);
    await first.checkpoint();
    const second = await openTracked(name, { onBusy: "read" });
    expect([second.writing, second.size, second.origin, second.vkey]).toEqual([false, 2, first.origin, first.vkey]);
    expect((await second.status()).mode).toBe("reading");
    for (const wrong of [second.append(NOTE), second.checkpoint(), second.rotate()]) {
      expect((await refusal(wrong)).code).toBe("log-in-use");
    }
    const stop = new AbortController();
    const seen: number[] = [];
    const following = (async () => {
      for await (const { seq } of second.entries({ follow: true, signal: stop.signal })) {
        seen.push(seq);
        if (seq === 402) stop.abort();
      }
    })();
    for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 20 }, () => first.append(NOTE)));
    await expect.poll(() => seen.length).toBe(402);

    // It can prove and export whatever a checkpoint of the first covers.
    expect((await verifyProof(await second.prove(1), [first.vkey])).seq).toBe(1);
    expect((await verified(second)).size).toBe(2);
    expect((await refusal(second.prove(300))).code).toBe("log-in-use");
    await first.checkpoint();
    await expect.poll(async () => (await second.status()).checkpoint?.size).toBe(402);
    expect((await verified(second)).size).toBe(402);

    await first.close();
    await second.writable;
    expect([second.writing, (await second.status()).mode]).toEqual([true, "writing"]);
    expect(await second.append(NOTE)).toEqual({ seq: 402 });
    await following;
    expect(seen).toEqual(Array.from({ length: 403 }, (_, i) => i));
    expect((await verified(second)).size).toBe(403);
  });

  test("a reader that takes over closes what the writer left open", async () => {
    const name = newName();
    const first = await openTracked(name);
    const second = await openTracked(name, { onBusy: "read" });
    await first.append(SPAWN);
    await first.append(START);
    await first.close();
    await second.writable;
    expect((await allOf(second)).at(-1)!.entry).toMatchObject({ type: "recovery", runs: 1, agents: 1 });
    await verified(second);
  });

  test("a reader refuses to take over a log that does not extend what it has read", async () => {
    const name = newName();
    const first = await openTracked(name);
    await first.append(NOTE);
    const head = await recordOf(name, "entries", "head");
    await first.append(NOTE);
    const second = await openTracked(name, { onBusy: "read" });
    expect(second.size).toBe(3);
    await tamper(name, "entries", (entries) => entries.delete(2));
    await tamper(name, "entries", (entries) => entries.put(head, "head"));
    await first.close();
    expect((await second.failed).code).toBe("log-rollback");
    await expect(second.writable).rejects.toMatchObject({ code: "log-rollback" });
    // The lock is free again; a tab that has not read the log cannot know.
    await (await openTracked(name)).append(NOTE);
  });

  test("a reader that is closed does not take over, and no promise stays unsettled", async () => {
    const name = newName();
    const first = await openTracked(name);
    const second = await openLog({ name, onBusy: "read" });
    await second.close();
    expect((await second.failed).code).toBe("closed");
    await expect(second.writable).rejects.toMatchObject({ code: "closed" });
    await first.close();
    await (await openTracked(name)).append(NOTE);
  });

  test("a signal ends the waiting of a reader that has nothing to read yet", async () => {
    const name = newName();
    const making = Promise.withResolvers<void>(); // the first tab holds the lock, but has not created the log yet
    const held = navigator.locks.request(`vak:log:${name}`, () => making.promise);
    const stop = new AbortController();
    const second = refusal(openLog({ name, onBusy: "read", signal: stop.signal }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    stop.abort();
    expect((await second).code).toBe("aborted");
    making.resolve();
    await held;
    await (await openTracked(name)).append(NOTE);
    expect((await refusal(openLog({ name: newName(), signal: AbortSignal.abort() }))).code).toBe("aborted");
  });

  test("of three that open a new log at once, one writes, and another takes over from it", async () => {
    const name = newName();
    const logs = await Promise.all([0, 1, 2].map(() => openTracked(name, { onBusy: "read" })));
    const writers = () => logs.filter((log) => log.writing);
    expect(writers().length).toBe(1);
    const [first] = writers();
    await first!.close();
    await Promise.race(logs.filter((log) => log !== first).map((log) => log.writable));
    expect(writers().length).toBe(1);
    expect((await allOf(writers()[0]!)).map(({ entry }) => entry.type)).toEqual(["log-open"]);
  });

  test("an unknown onBusy is refused", async () => {
    expect((await refusal(openLog({ name: newName(), onBusy: "steal" as "fail" }))).code).toBe("invalid-argument");
  });

  test("a kernel spawns nothing until it writes the log", async () => {
    const name = newName();
    const first = await createKernel({ log: { name } });
    const options = { policy: POLICY, tools: [addTool], log: { name, onBusy: "read" } } as const;
    await using second = await createKernel(options);
    expect(second.log.writing).toBe(false);
    const program = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
    expect((await refusal(second.spawn({ name: "a", program }))).code).toBe("log-in-use");
    await first.close();
    await second.log.writable;
    await expect.poll(() => second.policy.loaded).toBeDefined();
    expect((await refusal(second.spawn({ name: "a", program }))).code).toBe("invalid-module");
  });
});

describe("after a session that was cut off", () => {
  test("open intents become unknown outcomes, and a recovery ends everything else that was open", async () => {
    const name = newName();
    const first = await openTracked(name);
    await beginRun(first);
    const done = await first.append(await intent(0), { input: 1 });
    await first.append(outcome(0, done.seq), { output: 1 });
    const dangling = await first.append(await intent(1), { input: 2 });
    await first.close();

    const second = await openTracked(name);
    const entries = (await allOf(second)).map(({ entry }) => entry);
    expect(entries.slice(-2)).toMatchObject([
      { type: "outcome", intentOf: dangling.seq, status: "unknown", run: "r1", call: 1, outputDigest: null },
      { type: "recovery", intents: 1, runs: 1, agents: 1 },
    ]);
    const report = await verified(second);
    expect(report.runs[0]!.end).toBe("interrupted");
    expect((await refusal(second.append(END))).code).toBe("invalid-argument");
    await second.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
    const size = second.size;
    await second.close();
    const third = await openTracked(name);
    expect(third.size).toBe(size);
    await verified(third);
  });
});
