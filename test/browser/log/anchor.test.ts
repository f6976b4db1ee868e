/** Logs with an anchor, which remembers checkpoints outside the browser. */
import { afterEach, describe, expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { VakError } from "../../../src/errors.ts";
import { type Checkpoint, openLog } from "../../../src/log/log.ts";
import { forget } from "../../../src/log/rollback-guard.ts";
import type { Anchor } from "../../../src/tlog/anchor.ts";
import { closeLogs, databaseOf, NOTE, newName, openTracked, refusal, verified } from "./fixtures.ts";

afterEach(closeLogs);

/** Copies every record of a log's database, as a copied profile would; returns what puts them back. */
async function copyOf(name: string): Promise<() => Promise<void>> {
  const db = await databaseOf(name);
  const stores = [...db.objectStoreNames];
  const records: [store: string, key: IDBValidKey, value: unknown][] = [];
  for (const store of stores) {
    const [keys, values] = await Promise.all([db.getAllKeys(store), db.getAll(store)]);
    keys.forEach((key, i) => {
      records.push([store, key, values[i]]);
    });
  }
  return async () => {
    const writing = db.transaction(stores, "readwrite");
    const requests = stores.map((store) => writing.objectStore(store).clear());
    await Promise.all(requests);
    await Promise.all(records.map(([store, key, value]) => writing.objectStore(store).put(value, key)));
    await writing.done;
    db.close();
  };
}

describe("an anchor", () => {
  function memory() {
    const kept: Checkpoint[] = [];
    const anchor: Anchor = {
      newest: async (origin) => kept.filter((checkpoint) => checkpoint.origin === origin).at(-1)?.note,
      put: async (checkpoint) => {
        kept.push(checkpoint);
        return undefined;
      },
    };
    return { kept, anchor };
  }

  test("gets each checkpoint, and a log that extends the newest one opens again", async () => {
    const name = newName();
    const { kept, anchor } = memory();
    let log = await openTracked(name, { anchor });
    for (let i = 0; i < 3; i++) {
      await log.append(NOTE);
      await log.checkpoint();
    }
    await expect.poll(() => kept.at(-1)?.size).toBe(4);
    const { anchored } = await log.status();
    expect(anchored).toMatchObject({ size: 4, root: kept.at(-1)!.root });
    await log.append(NOTE);
    await log.close();
    log = await openTracked(name, { anchor });
    await log.append(NOTE);
    expect((await verified(log)).size).toBe(6);
  });

  test("attack: a profile that was copied back is refused, and nothing is signed", async () => {
    const name = newName();
    const { kept, anchor } = memory();
    let log = await openTracked(name, { anchor });
    await log.append(NOTE);
    await log.checkpoint();
    await log.close();
    const restore = await copyOf(name);
    log = await openTracked(name, { anchor });
    await log.append(NOTE);
    await log.checkpoint();
    await expect.poll(() => kept.at(-1)?.size).toBe(3);
    await log.close();
    await restore();
    await forget(name); // the rollback guard is in the same profile, and as old
    const count = kept.length;
    expect((await refusal(openLog({ name, anchor }))).code).toBe("log-rollback");
    expect(kept.length).toBe(count);
    // Without the anchor it goes unnoticed; once it has grown past what the anchor saw, it is another log.
    log = await openTracked(name);
    await Promise.all([1, 2, 3].map(() => log.append({ ...NOTE, message: "another history" })));
    await log.close();
    const error = await refusal(openLog({ name, anchor }));
    expect(error.code).toBe("log-rollback");
    expect(error.message).toContain("first 3 entries");
  });

  test("that cannot say what it saw gets the last checkpoint first, and may refuse it", async () => {
    const name = newName();
    let log = await openTracked(name);
    await log.append(NOTE);
    await log.checkpoint();
    await log.close();
    const told: number[] = [];
    const put: Anchor["put"] = async ({ size }) => {
      told.push(size);
      throw new VakError("log-rollback", "I have seen more");
    };
    expect((await refusal(openLog({ name, anchor: { put } }))).code).toBe("log-rollback");
    expect(told).toEqual([2]);
    expect((await refusal(openLog({ name, anchor: { put: () => Promise.reject(new Error("offline")) } }))).code).toBe(
      "log-unavailable",
    );
    log = await openTracked(name);
    await log.append(NOTE);
  });

  test("that does not answer keeps the log from opening", async () => {
    const anchor: Anchor = { newest: () => Promise.reject(new Error("offline")), put: async () => undefined };
    const error = await refusal(openLog({ name: newName(), anchor }));
    expect([error.code, error.message]).toEqual(["log-unavailable", expect.stringContaining("offline")]);
    const other: Anchor = { newest: async () => "nonsense", put: async () => undefined };
    expect((await refusal(openLog({ name: newName(), anchor: other }))).code).toBe("invalid-bundle");
  });

  test("that fails later gets the next checkpoint, and does not end the log", async () => {
    let fail = true;
    const told: number[] = [];
    const anchor: Anchor = {
      newest: async () => undefined,
      put: async ({ size }) => {
        if (fail) throw new Error("no network");
        told.push(size);
        return undefined;
      },
    };
    const log = await openTracked(newName(), { anchor });
    await log.checkpoint();
    await expect.poll(async () => (await log.status()).anchorError).toBe("no network");
    fail = false;
    await log.append(NOTE);
    await log.checkpoint();
    await expect.poll(() => told).toEqual([2]);
    expect((await log.status()).anchorError).toBe(null);
  });

  test("that reports a rollback ends the open log", async () => {
    const anchor: Anchor = {
      newest: async () => undefined,
      put: () => Promise.reject(new VakError("log-rollback", "a fork")),
    };
    const log = await openTracked(newName(), { anchor });
    await log.checkpoint();
    expect((await log.failed).code).toBe("log-rollback");
    expect((await refusal(log.append(NOTE))).code).toBe("log-rollback");
  });

  test("may return signature lines, which are kept with the checkpoint; nothing else is kept", async () => {
    const name = newName();
    const line = `— witness.example ${btoa("x".repeat(76))}\n`;
    let answer = line;
    const anchor: Anchor = { newest: async () => undefined, put: async () => answer };
    let log = await openTracked(name, { anchor });
    await log.checkpoint();
    await expect.poll(async () => (await log.status()).checkpoint?.note).toContain(line);
    const report = await verify(await openBundle(await log.export()), { keys: [log.vkey] });
    expect(report.ok).toBe(true);
    expect(report.notChecked.join()).toContain("1 signature of the checkpoint is by a key that was not given");
    expect(await log.prove(0)).toContain(line);
    await log.close();
    log = await openTracked(name, { anchor });
    expect((await log.checkpoint()).note).toContain(line);
    for (const nonsense of ["nonsense", "\n\n— a b\n", "— a !!\n", "\n"]) {
      answer = nonsense;
      await log.append(NOTE);
      const { note } = await log.checkpoint();
      await expect.poll(async () => (await log.status()).anchorError, { message: nonsense }).not.toBe(null);
      expect((await log.status()).checkpoint!.note).toBe(note);
    }
  });
});
