/** Faults injected into IndexedDB: whatever fails, nothing that was acknowledged is lost. */
import { afterEach, describe, expect, test } from "vitest";
import type { Draft } from "../../../src/audit/entry.ts";
import { leafHash, openBundle, RightEdge, verify } from "../../../src/audit/index.ts";
import type { VakError } from "../../../src/errors.ts";
import type { AuditLog } from "../../../src/log/log.ts";
import { allOf, closeLogs, END, loseDatabase, NOTE, newName, openTracked, refusal, SPAWN, START } from "./fixtures.ts";

const { transaction } = IDBDatabase.prototype;
const { add, put, get, getAll, getKey, openCursor, openKeyCursor } = IDBObjectStore.prototype;
const { commit } = IDBTransaction.prototype;
const openDatabase = IDBFactory.prototype.open;
const { setTimeout } = globalThis;

function mend(): void {
  IDBDatabase.prototype.transaction = transaction;
  Object.assign(IDBObjectStore.prototype, { add, put, get, getAll, getKey, openCursor, openKeyCursor });
  IDBTransaction.prototype.commit = commit;
  IDBFactory.prototype.open = openDatabase;
  globalThis.setTimeout = setTimeout;
}

afterEach(async () => {
  mend();
  await closeLogs();
});

describe("a log fails closed", () => {
  /** The keys that transactions write last. */
  const LAST: unknown[] = ["head", "checkpoint"];

  type Fault = "no transaction" | "request throws" | "transaction aborts" | "transaction aborts late";

  /** Breaks one write transaction of real IndexedDB, after `k` that succeed. */
  function breakWrite(k: number, how: Fault): { met: boolean } {
    const fault = { met: false };
    let writes = 0;
    let doomed: IDBTransaction | undefined;
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
      const isDoomed = args[1] === "readwrite" && writes++ === k;
      if (!isDoomed) return transaction.apply(this, args);
      fault.met = true;
      if (how === "no transaction") throw new DOMException("injected", "InvalidStateError");
      doomed = transaction.apply(this, args);
      return doomed;
    };
    let aborted = false;
    const abort = () => {
      if (!aborted) doomed?.abort();
      aborted = true;
    };
    const broken = (request: typeof put): typeof put =>
      function (this: IDBObjectStore, ...args) {
        if (this.transaction === doomed && how === "request throws") {
          throw new DOMException("injected", "QuotaExceededError");
        }
        const made = request.apply(this, args);
        if (this.transaction === doomed && how === "transaction aborts") queueMicrotask(abort);
        // Once the last write has succeeded, all have, and only the commit is missing.
        if (this.transaction === doomed && how === "transaction aborts late" && LAST.includes(args[1])) {
          made.addEventListener("success", abort);
        }
        return made;
      };
    IDBTransaction.prototype.commit = function () {
      if (this !== doomed) commit.call(this);
    };
    IDBObjectStore.prototype.add = broken(add);
    IDBObjectStore.prototype.put = broken(put);
    return fault;
  }

  test("when the browser itself aborts a commit, the failure names its reason, not the requests it ended", async () => {
    const log = await openTracked(newName());
    const reason = new DOMException("", "QuotaExceededError");
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
      const aborted = transaction.apply(this, args);
      Object.defineProperty(aborted, "error", { get: () => reason });
      queueMicrotask(() => aborted.abort());
      return aborted;
    };
    const error = await refusal(log.append(SPAWN));
    expect(error).toMatchObject({ code: "log-unavailable", cause: reason });
    expect(error.message).toContain("storage or the disk is full");
  });

  /** Runs a session; returns what was acknowledged before something failed, and the failure. */
  async function session(
    name: string,
  ): Promise<{ acknowledged: number[]; roots: Map<number, string>; error?: unknown }> {
    const acknowledged: number[] = [];
    const roots = new Map<number, string>();
    let log: AuditLog | undefined;
    try {
      log = await openTracked(name);
      const { append, checkpoint } = log;
      const take = async (draft: Draft) => acknowledged.push((await append.call(log, draft)).seq);
      const sign = async () => {
        const { size, root } = await checkpoint.call(log!);
        roots.set(size, root);
      };
      acknowledged.push(0);
      await take(SPAWN);
      await take(START);
      await Promise.all([take(NOTE), take(NOTE), take(NOTE)]);
      await sign();
      await take(END);
      await sign();
      return { acknowledged, roots };
    } catch (error) {
      expect((error as VakError).code).toBe("log-unavailable");
      expect((error as VakError).cause).toBeInstanceOf(Error);
      if (log) {
        expect((await log.failed).code).toBe("log-unavailable");
        // The fault has passed, but the log that met it accepts nothing more.
        for (const late of [log.append(NOTE), log.checkpoint(), log.export()]) {
          expect((await refusal(late)).code).toBe("log-unavailable");
        }
      }
      return { acknowledged, roots, error };
    } finally {
      await log?.close();
    }
  }

  /** Expects that the log opens again, verifies, has what was acknowledged, and extends what was signed. */
  async function expectIntact(name: string, acknowledged: number[], roots: Map<number, string>): Promise<void> {
    const again = await openTracked(name);
    const records = await allOf(again);
    expect(records[0]!.entry).toMatchObject({ type: "log-open", signer: "webcrypto" });
    const seqs = records.map(({ seq }) => seq);
    for (const seq of acknowledged) expect(seqs).toContain(seq);
    const bundle = await openBundle(await again.export());
    expect((await verify(bundle, { keys: [again.vkey] })).problems).toEqual([]);
    const leaves = records.map(({ bytes }) => leafHash(bytes));
    for (const [size, root] of roots) {
      const tree = new RightEdge();
      for (const leaf of leaves.slice(0, size)) tree.append(leaf);
      expect(btoa(String.fromCharCode(...tree.root()))).toBe(root);
    }
    await again.close();
  }

  const faults: Fault[] = ["no transaction", "request throws", "transaction aborts", "transaction aborts late"];
  test.each(faults)("at each write of a session in turn: %s", async (how) => {
    for (let k = 0; ; k++) {
      const name = newName();
      const fault = breakWrite(k, how);
      const { acknowledged, roots, error } = await session(name);
      mend();
      expect(error !== undefined).toBe(fault.met);

      await expectIntact(name, acknowledged, roots);
      if (!fault.met) {
        expect(k).toBe(8);
        return;
      }
    }
  });

  type Silence = "is never done" | "is done, but never reports it";

  /**
   * Opening the database, and each transaction, is an operation. After `k` that succeed, the next one never answers.
   */
  function silence(k: number, how: Silence): { met: boolean } {
    let operations = 0;
    let silent: IDBTransaction | undefined;
    let late = false;
    /** Hides these events of an object from everyone. */
    const mute = (target: EventTarget, ...events: string[]) => {
      target.addEventListener = function (this: EventTarget, ...args: Parameters<typeof addEventListener>) {
        if (!events.includes(args[0])) EventTarget.prototype.addEventListener.apply(this, args);
      };
    };
    const meet = () => {
      const met = operations++ === k;
      late ||= met;
      return met;
    };
    IDBFactory.prototype.open = function (...args) {
      const request = openDatabase.apply(this, args);
      if (meet()) mute(request, "success");
      return request;
    };
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
      const made = transaction.apply(this, args);
      if (!meet()) return made;
      silent = made;
      if (how === "is done, but never reports it") mute(made, "complete", "abort");
      else if (args[1] === "readwrite") {
        // It cannot end as long as there are requests.
        const store = made.objectStore(made.objectStoreNames[0]!);
        const ask = () => store.get("head").addEventListener("success", ask);
        ask();
      }
      return made;
    };
    IDBTransaction.prototype.commit = function () {
      if (this !== silent || how === "is done, but never reports it") commit.call(this);
    };
    const muted = <T extends (...args: never[]) => IDBRequest>(ask: T) =>
      function (this: IDBObjectStore, ...args: Parameters<T>) {
        const request = ask.apply(this, args);
        if (this.transaction === silent && silent.mode === "readonly") mute(request, "success");
        return request;
      };
    Object.assign(IDBObjectStore.prototype, {
      get: muted(get),
      getAll: muted(getAll as typeof get),
      getKey: muted(getKey),
      openCursor: muted(openCursor as typeof get),
      openKeyCursor: muted(openKeyCursor as typeof get),
    });
    // The time limit of that operation, and of no other, is over at once.
    globalThis.setTimeout = ((work: () => void, ms?: number) => {
      const over = late && ms === 30_000;
      if (over) late = false;
      return setTimeout(work, over ? 0 : ms);
    }) as typeof setTimeout;
    return {
      get met() {
        return operations > k;
      },
    };
  }

  test.each<Silence>(["is never done", "is done, but never reports it"])(
    "at each operation of two sessions in turn, which %s",
    async (how) => {
      for (let k = 0; ; k++) {
        const name = newName();
        const fault = silence(k, how);
        let done = await session(name);
        const { acknowledged, roots } = done;
        if (!done.error) done = await session(name);
        mend();
        expect(done.error !== undefined).toBe(fault.met);
        await expectIntact(
          name,
          [...acknowledged, ...done.acknowledged],
          new Map([...roots.entries(), ...done.roots.entries()]),
        );
        if (!fault.met) {
          expect(k).toBeGreaterThan(20);
          return;
        }
      }
    },
  );

  test("when another tab or the browser deletes the database", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    void loseDatabase(name);
    const error = await log.failed;
    expect(error.code).toBe("log-unavailable");
    expect((await refusal(log.append(NOTE))).code).toBe("log-unavailable");
  });
});
