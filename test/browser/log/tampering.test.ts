/** Attacks on a log's storage, and a browser that loses it. */
import { openDB } from "idb";
import { afterEach, describe, expect, test } from "vitest";
import { openLog } from "../../../src/log/log.ts";
import { forget, recall, remember } from "../../../src/log/rollback-guard.ts";
import { encodeEntries } from "../../../src/tlog/entry-bundle.ts";
import { closeLogs, loseDatabase, NOTE, newName, openTracked, recordOf, refusal, tamper } from "./fixtures.ts";

afterEach(closeLogs);

function changeHead(entries: IDBObjectStore, change: object): void {
  const asked = entries.get("head");
  asked.onsuccess = () => entries.put({ ...asked.result, ...change }, "head");
}

describe("attack: storage that was tampered with is noticed before anything is signed", () => {
  const cases: [what: string, store: string, work: (store: IDBObjectStore) => void][] = [
    ["the last entries changed", "entries", (s) => s.put(encodeEntries(Array(44).fill(new Uint8Array(9))), 257)],
    ["the last entries cut short", "entries", (s) => s.put(new Uint8Array(9), 257)],
    ["the last entries deleted", "entries", (s) => s.delete(257)],
    ["an entry added", "entries", (s) => s.put(encodeEntries([new TextEncoder().encode("{}")]), 301)],
    ["a tile changed", "tiles", (s) => s.put(new Uint8Array(32), [1, 0])],
    ["a tile deleted", "tiles", (s) => s.delete([1, 0])],
    ["the head deleted", "entries", (s) => s.delete("head")],
    ["the key deleted", "meta", (s) => s.delete("identity")],
    ["the list of open entries replaced", "entries", (s) => changeHead(s, { open: new BigUint64Array(2) })],
    ["the checkpoint replaced", "meta", (s) => s.put("x\n", "checkpoint")],
  ];
  test.each(cases)("%s", async (_, store, work) => {
    const name = newName();
    const log = await openTracked(name);
    await Promise.all(Array.from({ length: 300 }, () => log.append(NOTE)));
    await log.checkpoint();
    await log.close();
    await tamper(name, store, work);
    expect((await refusal(openLog({ name }))).code).toBe("log-corrupt");
  });

  test("the last entries cut off, though a checkpoint covers them", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    const older = await recordOf(name, "entries", "head");
    await log.append(NOTE);
    await log.checkpoint();
    await log.close();
    await tamper(name, "entries", (entries) => entries.delete(2));
    await tamper(name, "entries", (entries) => entries.put(older, "head"));
    const error = await refusal(openLog({ name }));
    expect(error.code).toBe("log-corrupt");
    expect(error.message).toContain("checkpoint");
  });
});

test("attack: an entry put where the log writes next: nothing is overwritten, and the failure says why", async () => {
  const name = newName();
  const log = await openTracked(name);
  await log.append(NOTE);
  const foreign = encodeEntries([new TextEncoder().encode("{}")]);
  await tamper(name, "entries", (entries) => entries.put(foreign, 2));
  const error = await refusal(log.append(NOTE));
  expect(error).toMatchObject({ code: "log-unavailable", cause: { name: "ConstraintError" } });
  expect(await recordOf(name, "entries", 2)).toEqual(foreign);
});

test("attack: a page that creates the database first, in another form, only makes the log unavailable", async () => {
  const uncaught: unknown[] = [];
  const note = (event: Event) => uncaught.push(event);
  addEventListener("error", note);
  addEventListener("unhandledrejection", note);
  const forms = [1, 2, 3].flatMap((version) => [[version, "entries"] as const, [version, "meta"] as const]);
  for (const [version, store] of forms) {
    const name = newName();
    (await openDB(`vak:log:${name}`, version, { upgrade: (db) => void db.createObjectStore(store) })).close();
    expect((await refusal(openLog({ name }))).code).toBe("log-unavailable");
  }
  await new Promise((done) => setTimeout(done));
  removeEventListener("error", note);
  removeEventListener("unhandledrejection", note);
  expect(uncaught).toEqual([]);
});

/** Whether the browser has the file system that the rollback guard needs. */
const remembers = navigator.storage?.getDirectory !== undefined;

describe.skipIf(!remembers)("a log whose database the browser has lost", () => {
  test("the log is refused, however often, and no other log is", async () => {
    const name = newName();
    const log = await openTracked(name);
    await Promise.all([1, 2, 3].map(() => log.append(NOTE)));
    await log.checkpoint();
    await log.close();
    await expect.poll(async () => (await recall(name))?.size).toBe(4);
    await loseDatabase(name);
    for (let i = 0; i < 2; i++) {
      const error = await refusal(openLog({ name }));
      expect(error.code).toBe("log-rollback");
      expect(error.message).toContain(`4 entries or more, origin ${log.origin}`);
    }
    await (await openTracked(newName())).append(NOTE);
  });

  test("the log is refused even if it was lost right after it was created", async () => {
    const name = newName();
    await (await openTracked(name)).close();
    await loseDatabase(name);
    expect((await refusal(openLog({ name }))).code).toBe("log-rollback");
  });

  test("with onLost forget, a new log starts, and is remembered in its place", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    await log.close();
    await loseDatabase(name);
    const next = await openTracked(name, { onLost: "forget" });
    expect([next.size, next.origin === log.origin]).toEqual([1, false]);
    await next.close();
    expect((await openTracked(name)).origin).toBe(next.origin);
  });

  test("onLost forget does nothing while the database is there", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.close();
    const again = await openLog({ name, onLost: "forget" });
    expect(again.origin).toBe(log.origin);
    await again.close();
    await loseDatabase(name);
    expect((await refusal(openLog({ name }))).code).toBe("log-rollback");
    expect((await refusal(openLog({ name, onLost: "ask" as "fail" }))).code).toBe("invalid-argument");
  });

  test("attack: a database that was rolled back or replaced is refused", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    await log.close();
    const { origin, root } = (await recall(name))!;
    for (const seen of [
      { origin, size: 3, root }, // longer
      { origin, size: 2, root }, // of another history
      { origin: `vak.invalid/0123456789abcdef/${name}`, size: 1, root },
    ]) {
      await remember(name, seen);
      expect((await recall(name))?.size).toBe(seen.size);
      const error = await refusal(openLog({ name, onLost: "forget" }));
      expect(error.code).toBe("log-rollback");
      expect(error.message).toContain("this browser has seen");
    }
    await forget(name);
    expect((await openTracked(name)).size).toBe(2);
  });

  test("without a rollback guard the loss goes unnoticed, and a new log starts", async () => {
    const { getDirectory } = StorageManager.prototype;
    StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("none here", "SecurityError"));
    try {
      const name = newName();
      await (await openTracked(name)).close();
      await loseDatabase(name);
      expect((await openTracked(name)).size).toBe(1);
    } finally {
      StorageManager.prototype.getDirectory = getDirectory;
    }
  });
});
