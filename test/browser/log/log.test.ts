import { afterEach, describe, expect, test } from "vitest";
import type { Draft } from "../../../src/audit/entry.ts";
import {
  leafHash,
  openBundle,
  type Report,
  RightEdge,
  verify,
  verifyConsistency,
  verifyProof,
} from "../../../src/audit/index.ts";
import type { Denial, Intent } from "../../../src/audit/vocabulary/call.ts";
import type { AgentRef } from "../../../src/audit/vocabulary/common.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { Taint } from "../../../src/broker/taint.ts";
import { VakError } from "../../../src/errors.ts";
import { createKernel } from "../../../src/index.ts";
import { type AuditLog, type LogRecord, openLog } from "../../../src/log/log.ts";
import { forget, recall, remember } from "../../../src/log/rollback-guard.ts";
import type { LoadedPolicy, PolicyEngine } from "../../../src/policy/engine.ts";
import { encodeEntries } from "../../../src/tlog/entry-bundle.ts";
import { parseNote, parseVkey, verifyNote } from "../../../src/tlog/note-reading.ts";
import { defineTool, type Tool } from "../../../src/tool/definition.ts";
import { add as addTool } from "../../setup/kernel.ts";
import { done, raw } from "./database.ts";

const POLICY = `permit (principal, action == Action::"call:add", resource);`;
const AGENT: AgentRef = { name: "tester", id: "a1", program: "ab".repeat(32) };
const SPAWN: Draft = {
  type: "agent-spawn",
  agent: AGENT,
  limits: { fuel: 1 },
  seed: 1,
  isolation: "opaque",
  machine: "wt1/1/1",
};
const START: Draft = { type: "run-start", agent: AGENT, run: "r1", args: [], env: [], startTime: 0 };
const NOTE: Draft = { type: "policy-refused", textDigest: "00".repeat(32), message: "no" };

const { transaction } = IDBDatabase.prototype;
const { add, put, get, getAll, getKey, openCursor, openKeyCursor } = IDBObjectStore.prototype;
const { commit } = IDBTransaction.prototype;
const openDatabase = IDBFactory.prototype.open;
const { setTimeout } = globalThis;
const generateKey = SubtleCrypto.prototype.generateKey;
const open: AuditLog[] = [];

function mend(): void {
  IDBDatabase.prototype.transaction = transaction;
  Object.assign(IDBObjectStore.prototype, { add, put, get, getAll, getKey, openCursor, openKeyCursor });
  IDBTransaction.prototype.commit = commit;
  IDBFactory.prototype.open = openDatabase;
  globalThis.setTimeout = setTimeout;
}

afterEach(async () => {
  mend();
  SubtleCrypto.prototype.generateKey = generateKey;
  for (const log of open.splice(0)) await log.close();
});

function newName(): string {
  return `t-${crypto.randomUUID()}`;
}

async function openTracked(name: string): Promise<AuditLog> {
  const log = await openLog({ name });
  open.push(log);
  return log;
}

/** A policy, an agent, and its run. */
async function beginRun(log: AuditLog): Promise<void> {
  await log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
  await log.append(SPAWN);
  await log.append(START);
}

async function allOf(log: AuditLog): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of log.entries()) records.push(record);
  return records;
}

async function refusal(promise: Promise<unknown>): Promise<VakError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(VakError);
  return error as VakError;
}

async function verified(log: AuditLog): Promise<Report> {
  const report = await verify(await openBundle(await log.export()), { keys: [log.vkey] });
  expect(report.problems).toEqual([]);
  expect(report.ok).toBe(true);
  return report;
}

async function tamper(name: string, store: string, work: (store: IDBObjectStore) => void): Promise<void> {
  const db = await raw(name);
  const transaction = db.transaction(store, "readwrite");
  work(transaction.objectStore(store));
  await done(transaction);
  db.close();
}

async function policyDigest(): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(POLICY));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function intent(call: number): Promise<Draft> {
  return {
    type: "intent",
    agent: AGENT,
    run: "r1",
    call,
    action: "call:add",
    resource: "tool:add",
    callDigest: "cd".repeat(32),
    decision: "allow",
    policies: ["policy0"],
    policyDigest: await policyDigest(),
  };
}

function outcome(call: number, intentOf: number): Draft {
  return { type: "outcome", agent: AGENT, run: "r1", call, intentOf, status: "ok", error: null };
}

const END: Draft = {
  type: "run-end",
  agent: AGENT,
  run: "r1",
  status: "exited",
  exitCode: 0,
  trap: null,
  limit: null,
  message: null,
  usage: { fuel: 1 },
  digest: null,
  untraced: "no run",
};

describe("a log", () => {
  test("takes a run, exports it, and the export verifies", async () => {
    const log = await openTracked(newName());
    await beginRun(log);
    const { seq } = await log.append(await intent(0), { input: { a: 1, b: 2.5 } });
    await log.append(outcome(0, seq), { output: 3.5 });
    await log.append(END);
    const report = await verified(log);
    expect(report.entries).toEqual({
      "log-open": 1,
      "policy-load": 1,
      "agent-spawn": 1,
      "run-start": 1,
      intent: 1,
      outcome: 1,
      "run-end": 1,
    });
    expect(report.erased).toEqual([]);
    expect(report.runs[0]).toMatchObject({ run: "r1", outcomes: { ok: 1, error: 0, unknown: 0 } });
    const { note, size, origin, root } = await log.checkpoint();
    expect({ size, origin, root }).toEqual({ size: 7, origin: log.origin, root: report.root });
    await verifyNote(parseNote(new TextEncoder().encode(note)), [parseVkey(log.vkey)]);
  });

  test("goes on where it was when it is opened again", async () => {
    const name = newName();
    const first = await openTracked(name);
    await first.append(NOTE);
    const before = await first.checkpoint();
    await first.close();
    const second = await openTracked(name);
    expect([second.origin, second.vkey, second.size]).toEqual([first.origin, first.vkey, 2]);
    expect((await second.checkpoint()).root).toBe(before.root);
    expect(await second.append(NOTE)).toEqual({ seq: 2 });
    expect((await verified(second)).size).toBe(3);
  });

  test("is right at every size around the edges of tiles, however often it is opened", async () => {
    const name = newName();
    let log = await openTracked(name);
    for (const size of [254, 255, 256, 257, 300, 511, 512, 513, 700]) {
      await Promise.all(Array.from({ length: size - log.size }, () => log.append(NOTE)));
      await log.checkpoint();
      await log.close();
      log = await openTracked(name);
      expect((await verified(log)).size).toBe(size);
    }
  });

  test("proves single entries, and that it only grew", async () => {
    const log = await openTracked(newName());
    const roots = new Map<number, Uint8Array<ArrayBuffer>>();
    for (const size of [1, 200, 256, 300, 520]) {
      await Promise.all(Array.from({ length: size - log.size }, () => log.append(NOTE)));
      roots.set(
        size,
        Uint8Array.from(atob((await log.checkpoint()).root), (char) => char.charCodeAt(0)),
      );
    }
    for (const seq of [0, 199, 255, 256, 519]) {
      const receipt = await log.prove(seq);
      expect(await verifyProof(receipt, [log.vkey])).toMatchObject({ seq, size: 520, origin: log.origin });
    }
    await log.append(NOTE);
    expect((await verifyProof(await log.prove(3), [log.vkey])).size).toBe(520);
    expect((await verifyProof(await log.prove(520), [log.vkey])).size).toBe(521);
    for (const [oldSize, oldRoot] of roots) {
      for (const [newSize, newRoot] of roots) {
        if (oldSize > newSize) continue;
        const proof = (await log.consistency(oldSize, newSize)) as Uint8Array<ArrayBuffer>[];
        expect(verifyConsistency(oldSize, newSize, oldRoot, newRoot, proof)).toBe(true);
      }
    }
    expect(await log.consistency(0, 300)).toEqual([]);
    for (const wrong of [
      log.prove(521),
      log.prove(-1),
      log.prove(0.5),
      log.consistency(3, 2),
      log.consistency(1, 600),
    ]) {
      expect((await refusal(wrong)).code).toBe("invalid-argument");
    }
  });

  test("commits what is appended in one turn together, and in order", async () => {
    const log = await openTracked(newName());
    let writes = 0;
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
      if (args[1] === "readwrite") {
        writes++;
        expect(args[2]).toEqual({ durability: "strict" });
      }
      return transaction.apply(this, args);
    };
    const seqs = await Promise.all(Array.from({ length: 200 }, () => log.append(NOTE)));
    expect(seqs.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(writes).toBe(1);
    expect(log.size).toBe(201);
  });

  test("refuses what is malformed, too long or out of order, and goes on", async () => {
    const log = await openTracked(newName());
    const wrong: [unknown, object?][] = [
      [{ type: "nonsense" }],
      [{ ...NOTE, extra: 1 }],
      [{ ...NOTE, message: "\ud800" }],
      [{ ...NOTE, message: "x".repeat(65_536) }],
      [NOTE, { input: 1 }],
      [{ type: "policy-load", policies: [] }],
      [START],
      [SPAWN, { output: 1 }],
      [{ ...SPAWN, seed: 1.5 }],
    ];
    for (const [draft, attached] of wrong) {
      expect((await refusal(log.append(draft as Draft, attached))).code).toBe("invalid-argument");
    }
    expect(await log.append(NOTE)).toEqual({ seq: 1 });
    await verified(log);
  });

  test("lets others follow what is appended", async () => {
    const log = await openTracked(newName());
    await log.append(NOTE);
    const stop = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      for await (const { seq, entry, bytes } of log.entries({ follow: true, signal: stop.signal })) {
        expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual(entry);
        seen.push(`${seq} ${entry.type}`);
        if (seq === 302) stop.abort();
      }
    })();
    await Promise.all(Array.from({ length: 300 }, () => log.append(NOTE)));
    await log.append(SPAWN);
    await following;
    expect(seen).toEqual([
      "0 log-open",
      ...Array.from({ length: 301 }, (_, i) => `${i + 1} policy-refused`),
      "302 agent-spawn",
    ]);
    const from: number[] = [];
    for await (const { seq } of log.entries({ from: 299 })) from.push(seq);
    expect(from).toEqual([299, 300, 301, 302]);
  });

  test("ends those who follow it when it is closed or when they abort", async () => {
    const log = await openTracked(newName());
    const stop = new AbortController();
    const caughtUp = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const drain = async (who: number, signal?: AbortSignal) => {
      let last = -1;
      for await (const { seq } of log.entries({ follow: true, ...(signal && { signal }) })) {
        last = seq;
        if (seq === 1) caughtUp[who]!.resolve();
      }
      return last;
    };
    const aborted = drain(0, stop.signal);
    const closed = drain(1);
    await log.append(NOTE);
    await Promise.all(caughtUp.map(({ promise }) => promise));
    stop.abort();
    expect(await aborted).toBe(1);
    await log.close();
    expect(await closed).toBe(1);
  });

  test("is closed for good: later appends say so, and nothing stays unsettled", async () => {
    const log = await openTracked(newName());
    const last = log.append(NOTE);
    const closing = log.close();
    expect((await refusal(log.append(NOTE))).code).toBe("closed");
    expect(await last).toEqual({ seq: 1 });
    await closing;
    await log.close();
    expect((await refusal(log.checkpoint())).code).toBe("closed");
    expect((await refusal(log.export())).code).toBe("closed");
    expect((await log.failed).code).toBe("closed");
  });

  test("has a name that can stand in a key", async () => {
    for (const name of ["", "a b", "a+b", "a/b", "é", "x".repeat(65)]) {
      expect((await refusal(openLog({ name }))).code).toBe("invalid-argument");
    }
  });
});

describe("private values", () => {
  test("are read, and erased for good: the log says so, and still verifies", async () => {
    const name = newName();
    let log = await openTracked(name);
    await beginRun(log);
    const { seq } = await log.append(await intent(0), { input: { a: "private" } });
    const answer = await log.append(outcome(0, seq), { output: 3.5 });
    expect(await log.value(seq)).toEqual({ a: "private" });
    expect(await log.value(answer.seq)).toBe(3.5);
    expect(await log.value(0)).toBeUndefined();

    const erased = await log.erase(seq);
    expect((await allOf(log))[erased.seq]!.entry).toMatchObject({ type: "erase", erases: seq });
    expect(await log.value(seq)).toBeUndefined();
    for (const wrong of [seq, 0, erased.seq]) expect((await refusal(log.erase(wrong))).code).toBe("not-found");
    expect((await refusal(log.erase(99))).code).toBe("invalid-argument");
    const zip = await log.export();
    expect(await zip.text()).not.toContain("private");
    expect(await verified(log)).toMatchObject({ erased: [seq], missing: [] });

    await log.close();
    log = await openTracked(name);
    expect(await log.value(seq)).toBeUndefined();
    expect(await log.value(answer.seq)).toBe(3.5);
    await verified(log);
  });

  test("few or many, small or large: each is read, exported and erased by itself", async () => {
    const name = newName();
    let log = await openTracked(name);
    await beginRun(log);
    const callDigest = "cd".repeat(32);
    const about = {
      type: "denial",
      agent: AGENT,
      run: "r1",
      action: "call:add",
      resource: "tool:add",
      callDigest,
    } as const;
    const why = { decision: "deny", reason: "no-permit", policyDigest: "" } as const;
    const kept = new Map<number, string>();
    // Of each commit the lengths of its values; they are stored with the entries where they have 16 KiB together.
    for (const lengths of [[10], [20_000], [10, 0, 30], [10, 20_000, 10], [8_000, 8_000], Array(260).fill(10)]) {
      const inputs = lengths.map((length: number) => "v".repeat(length));
      const appended = inputs.map((input: string, call: number) =>
        log.append({ ...about, ...why, policies: [], errors: [], call }, { input }),
      );
      for (const [i, { seq }] of (await Promise.all(appended)).entries()) kept.set(seq, inputs[i]!);
    }
    const some = [...[...kept.keys()].slice(0, 16), ...[...kept.keys()].slice(-4)];
    const check = async () => {
      for (const seq of some) expect(await log.value(seq)).toBe(kept.get(seq));
      const bundle = await openBundle(await log.export());
      const files = [...(await bundle.paths())].filter((path) => path.startsWith("values/"));
      expect(files.sort()).toEqual([...kept.keys()].map((seq) => `values/${seq}.json`).sort());
      return verified(log);
    };
    await check();
    const erased = some.filter((seq) => seq % 3 !== 0);
    await Promise.all(erased.map((seq) => log.erase(seq)));
    for (const seq of erased) kept.delete(seq);
    expect(erased.length).toBeGreaterThan(10);
    expect(await check()).toMatchObject({ erased, missing: [] });
    await log.close();
    log = await openTracked(name);
    await check();
  });

  test("of a tool whose schema marks secrets: no part of the log, its storage or its export has them", async () => {
    const name = newName();
    const log = await openTracked(name);
    await beginRun(log);
    const seen: unknown[] = [];
    const login = defineTool({
      name: "login",
      description: "Logs in.",
      inputSchema: {
        type: "object",
        properties: { user: { type: "string" }, password: { type: "string", writeOnly: true } },
        required: ["user", "password"],
      },
      execute: (input) => {
        seen.push({ ...input });
        return "in";
      },
    });
    const digest = await policyDigest();
    const decided: { input: object; vak: { callDigest: string } }[] = [];
    const engine: PolicyEngine = {
      callable: async () => new Set(),
      loaded: { digest, policies: ["policy0"] } as unknown as LoadedPolicy,
      load: () => Promise.reject(new Error()),
      decide: async (request) => {
        decided.push(request);
        const allow = decided.length === 1;
        return allow
          ? { decision: "allow", policies: ["policy0"], errors: [], policyDigest: digest }
          : { decision: "deny", policies: [], reason: "no-permit", errors: [], policyDigest: digest };
      },
      explain: () => Promise.reject(new Error()),
      try: () => Promise.reject(new Error()),
      lease: () => Promise.reject(new Error()),
      close: () => {},
    };
    const broker = new Broker(new Map([["login", login as Tool]]), engine, log);
    const request = new TextEncoder().encode('{"tool":"login","input":{"user":"ann","password":"hunter2"}}');
    for (const call of [1, 2]) {
      const caller = {
        agent: AGENT,
        run: "r1",
        call,
        callBytes: 1000,
        signal: new AbortController().signal,
        labels: new Taint(),
        hold: () => () => {},
      };
      await broker.handle(caller, request);
    }
    // The policy and the tool saw it,
    expect(decided.map(({ input }) => ({ ...input }))).toEqual(Array(2).fill({ user: "ann", password: "hunter2" }));
    expect(seen).toEqual([{ user: "ann", password: "hunter2" }]);
    // the log did not, nor anything from which it could be guessed: the same call has another digest each time.
    const entries = (await allOf(log)).map(({ entry }) => entry);
    const [allowed, denied] = [entries.find(({ type }) => type === "intent"), entries.at(-1)] as [Intent, Denial];
    expect(allowed.callDigest).toBe(decided[0]!.vak.callDigest);
    expect(denied.callDigest).not.toBe(allowed.callDigest);
    expect(await log.value(allowed.seq)).toEqual({ user: "ann", password: null });
    expect(await log.value(denied.seq)).toEqual({ user: "ann", password: null });
    expect(await (await log.export()).text()).not.toContain("hunter2");
    const db = await raw(name);
    for (const store of db.objectStoreNames) {
      const all = await new Promise<unknown[]>((resolve) => {
        const request = db.transaction(store).objectStore(store).getAll();
        request.onsuccess = () => resolve(request.result);
      });
      const text = all.map((item) => (item instanceof Uint8Array ? new TextDecoder().decode(item) : ""));
      expect(text.join("\n")).not.toContain("hunter2");
    }
    db.close();
    expect((await verified(log)).withheld).toBe(2);
  });
});

describe("keys", () => {
  test("are not extractable where WebCrypto has Ed25519", async () => {
    const name = newName();
    const log = await openTracked(name);
    const [first] = await allOf(log);
    expect(first!.entry).toMatchObject({ type: "log-open", signer: "webcrypto", extractable: false, vkey: log.vkey });
    const db = await raw(name);
    const { key } = await new Promise<{ key: { privateKey: CryptoKey } }>((resolve) => {
      const request = db.transaction("meta").objectStore("meta").get("identity");
      request.onsuccess = () => resolve(request.result);
    });
    db.close();
    expect(key.privateKey.extractable).toBe(false);
    await expect(crypto.subtle.exportKey("pkcs8", key.privateKey)).rejects.toThrow();
  });

  test("are made by noble where it has not, and the log says that they can be read", async () => {
    SubtleCrypto.prototype.generateKey = () =>
      Promise.reject(new DOMException("no Ed25519", "NotSupportedError")) as never;
    const name = newName();
    const log = await openTracked(name);
    const [first] = await allOf(log);
    expect(first!.entry).toMatchObject({ signer: "noble", extractable: true });
    await verified(log);
    await log.close();
    await verified(await openTracked(name));
  });

  test("are asked for again when making one fails, as it does in WebKit now and then", async () => {
    let calls = 0;
    SubtleCrypto.prototype.generateKey = function (this: SubtleCrypto, ...args: unknown[]) {
      if (++calls < 3) return Promise.reject(new DOMException("try again", "OperationError"));
      return Reflect.apply(generateKey, this, args);
    } as typeof generateKey;
    const log = await openTracked(newName());
    const [first] = await allOf(log);
    expect(first!.entry).toMatchObject({ signer: "webcrypto" });
    expect(calls).toBe(3);
  });
});

describe("after a session that was not closed in order", () => {
  test("open intents become unknown outcomes, and a recovery ends what was open", async () => {
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

describe("one writer", () => {
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

  test("a failed open gives the lock back", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    await log.close();
    await tamper(name, "entries", (entries) => entries.delete(1));
    expect((await refusal(openLog({ name }))).code).toBe("log-corrupt");
    expect((await refusal(openLog({ name }))).code).toBe("log-corrupt");
  });

  test("a head that was changed underneath ends the log, and nothing is written", async () => {
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
    const db = await raw(name);
    const count = await new Promise((resolve) => {
      const request = db.transaction("entries").objectStore("entries").count(IDBKeyRange.upperBound(Infinity));
      request.onsuccess = () => resolve(request.result);
    });
    db.close();
    expect(count).toBe(2);
  });

  test("so does a lock that is stolen", async () => {
    const name = newName();
    const log = await openTracked(name);
    await navigator.locks.request(`vak:log:${name}`, { steal: true }, async () => {
      expect((await log.failed).code).toBe("log-unavailable");
      expect((await refusal(log.append(NOTE))).code).toBe("log-unavailable");
    });
  });
});

describe("two tabs, one log: the second one", () => {
  test("waits until the first has closed, if it says so", async () => {
    const name = newName();
    const first = await openTracked(name);
    let opened = false;
    const waiting = openLog({ name, onBusy: "wait" }).then((log) => {
      opened = true;
      open.push(log);
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

  test("gives up waiting when it is aborted", async () => {
    const name = newName();
    await openTracked(name);
    const stop = new AbortController();
    const waiting = refusal(openLog({ name, onBusy: "wait", signal: stop.signal }));
    stop.abort();
    expect((await waiting).code).toBe("aborted");
    expect((await refusal(openLog({ name, onBusy: "wait", signal: stop.signal }))).code).toBe("aborted");
  });

  test("writes a log of its own", async () => {
    const name = newName();
    const logs: AuditLog[] = [];
    for (let i = 0; i < 3; i++) {
      const log = await openLog({ name, onBusy: "own" });
      open.push(log);
      logs.push(log);
    }
    expect(logs.map((log) => log.name)).toEqual([name, `${name}.2`, `${name}.3`]);
    expect(new Set(logs.map((log) => log.origin)).size).toBe(3);
    for (const log of logs) {
      await log.append(NOTE);
      await verified(log);
    }
  });

  test("reads, follows what is written, and writes on when the first has closed", async () => {
    const name = newName();
    const first = await openTracked(name);
    await first.append(NOTE);
    await first.checkpoint();
    const second = await openLog({ name, onBusy: "read" });
    open.push(second);
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

    // It can prove and export what is under a checkpoint that the first has signed.
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

  test("that reads, closes what the first left open when it takes over", async () => {
    const name = newName();
    const first = await openTracked(name);
    const second = await openLog({ name, onBusy: "read" });
    open.push(second);
    await first.append(SPAWN);
    await first.append(START);
    await first.close();
    await second.writable;
    expect((await allOf(second)).at(-1)!.entry).toMatchObject({ type: "recovery", runs: 1, agents: 1 });
    await verified(second);
  });

  test("that reads, has seen the log: it refuses to go on with another one", async () => {
    const name = newName();
    const first = await openTracked(name);
    await first.append(NOTE);
    const db = await raw(name);
    const head = await new Promise((resolve) => {
      const request = db.transaction("entries").objectStore("entries").get("head");
      request.onsuccess = () => resolve(request.result);
    });
    db.close();
    await first.append(NOTE);
    const second = await openLog({ name, onBusy: "read" });
    open.push(second);
    expect(second.size).toBe(3);
    await tamper(name, "entries", (entries) => entries.delete(2));
    await tamper(name, "entries", (entries) => entries.put(head, "head"));
    await first.close();
    expect((await second.failed).code).toBe("log-rollback");
    await expect(second.writable).rejects.toMatchObject({ code: "log-rollback" });
    // The lock is free again; who has not seen the log cannot know.
    await (await openTracked(name)).append(NOTE);
  });

  test("that reads, can be closed: nothing stays unsettled, and it takes nothing over", async () => {
    const name = newName();
    const first = await openTracked(name);
    const second = await openLog({ name, onBusy: "read" });
    await second.close();
    expect((await second.failed).code).toBe("closed");
    await expect(second.writable).rejects.toMatchObject({ code: "closed" });
    await first.close();
    await (await openTracked(name)).append(NOTE);
  });

  test("that reads, gives up when told to while there is nothing to read yet", async () => {
    const name = newName();
    const making = Promise.withResolvers<void>(); // the first tab has the lock, and stands still before it has made the log
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

  test("and a third, at the very start: one writes, and the next goes on", async () => {
    const name = newName();
    const logs = await Promise.all([0, 1, 2].map(() => openLog({ name, onBusy: "read" })));
    open.push(...logs);
    const writers = () => logs.filter((log) => log.writing);
    expect(writers().length).toBe(1);
    const [first] = writers();
    await first!.close();
    await Promise.race(logs.filter((log) => log !== first).map((log) => log.writable));
    expect(writers().length).toBe(1);
    expect((await allOf(writers()[0]!)).map(({ entry }) => entry.type)).toEqual(["log-open"]);
  });

  test("is refused what onBusy does not know", async () => {
    expect((await refusal(openLog({ name: newName(), onBusy: "steal" as "fail" }))).code).toBe("invalid-argument");
  });

  test("has a kernel that spawns nothing until the log is its own", async () => {
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

describe("storage that is tampered with is noticed before anything is signed", () => {
  const cases: [what: string, store: string, work: (store: IDBObjectStore) => void][] = [
    ["the last entries changed", "entries", (s) => s.put(encodeEntries(Array(44).fill(new Uint8Array(9))), 257)],
    ["the last entries cut short", "entries", (s) => s.put(new Uint8Array(9), 257)],
    ["the last entries deleted", "entries", (s) => s.delete(257)],
    ["an entry added", "entries", (s) => s.put(encodeEntries([new TextEncoder().encode("{}")]), 301)],
    ["a tile changed", "tiles", (s) => s.put(new Uint8Array(32), [1, 0])],
    ["a tile deleted", "tiles", (s) => s.delete([1, 0])],
    ["the head deleted", "entries", (s) => s.delete("head")],
    ["the key deleted", "meta", (s) => s.delete("identity")],
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

  test("a tail cut off behind the last checkpoint", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    const db = await raw(name);
    const older = await new Promise((resolve) => {
      const request = db.transaction("entries").objectStore("entries").get("head");
      request.onsuccess = () => resolve(request.result);
    });
    db.close();
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

describe("failing closed", () => {
  /** Keys of what transactions write last. */
  const LAST: unknown[] = ["head", "checkpoint"];

  type Fault = "no transaction" | "request throws" | "transaction aborts" | "transaction aborts late";

  /** Lets the first `k` write transactions be and breaks the next one. Real IndexedDB; only that one is interfered with. */
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
        // When what is written last has succeeded, everything has, and only the commit is missing.
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

  /** A session; returns what was acknowledged before something failed, and the failure. */
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
        // The fault has passed, but the log that met it takes nothing more.
        for (const late of [log.append(NOTE), log.checkpoint(), log.export()]) {
          expect((await refusal(late)).code).toBe("log-unavailable");
        }
      }
      return { acknowledged, roots, error };
    } finally {
      await log?.close();
    }
  }

  /** The log opens again, verifies, has what was acknowledged, and extends what was signed. */
  async function expectAllThere(name: string, acknowledged: number[], roots: Map<number, string>): Promise<void> {
    const again = await openTracked(name);
    const records = await allOf(again);
    expect(records[0]!.entry).toMatchObject({ type: "log-open", signer: "webcrypto" });
    const there = records.map(({ seq }) => seq);
    for (const seq of acknowledged) expect(there).toContain(seq);
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
  test.each(faults)("each write of a session in turn: %s", async (how) => {
    for (let k = 0; ; k++) {
      const name = newName();
      const fault = breakWrite(k, how);
      const { acknowledged, roots, error } = await session(name);
      mend();
      expect(error !== undefined).toBe(fault.met);

      await expectAllThere(name, acknowledged, roots);
      if (!fault.met) {
        expect(k).toBe(8);
        return;
      }
    }
  });

  type Silence = "is never done" | "is done, but never says so";

  /** Lets the first `k` operations be: opening the database, transactions. The next one never answers. */
  function silence(k: number, how: Silence): { met: boolean } {
    let operations = 0;
    let silent: IDBTransaction | undefined;
    let late = false;
    /** Nobody hears of these events. */
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
      if (how === "is done, but never says so") mute(made, "complete", "abort");
      else if (args[1] === "readwrite") {
        // As long as there are requests it does not end.
        const store = made.objectStore(made.objectStoreNames[0]!);
        const ask = () => store.get("head").addEventListener("success", ask);
        ask();
      }
      return made;
    };
    IDBTransaction.prototype.commit = function () {
      if (this !== silent || how === "is done, but never says so") commit.call(this);
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
    // For that operation, and for no other, the time is over at once.
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

  test.each<Silence>(["is never done", "is done, but never says so"])(
    "each operation of two sessions in turn %s",
    async (how) => {
      for (let k = 0; ; k++) {
        const name = newName();
        const fault = silence(k, how);
        let done = await session(name);
        const { acknowledged, roots } = done;
        if (!done.error) done = await session(name);
        mend();
        expect(done.error !== undefined).toBe(fault.met);
        await expectAllThere(
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

  test("the browser or another tab takes the database away", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    indexedDB.deleteDatabase(`vak:log:${name}`);
    const error = await log.failed;
    expect(error.code).toBe("log-unavailable");
    expect((await refusal(log.append(NOTE))).code).toBe("log-unavailable");
  });
});

/** Whether the browser has a second place that remembers logs. */
const remembers = navigator.storage?.getDirectory !== undefined;

/** As a browser loses it: behind the page's back. */
function loseDatabase(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(`vak:log:${name}`);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

describe.skipIf(!remembers)("a log whose database the browser has lost", () => {
  test("is refused, however often, and no other", async () => {
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

  test("right after it was made", async () => {
    const name = newName();
    await (await openTracked(name)).close();
    await loseDatabase(name);
    expect((await refusal(openLog({ name }))).code).toBe("log-rollback");
  });

  test("begins anew if that is asked for, and is then remembered in its place", async () => {
    const name = newName();
    const log = await openTracked(name);
    await log.append(NOTE);
    await log.close();
    await loseDatabase(name);
    const next = await openLog({ name, onLost: "forget" });
    open.push(next);
    expect([next.size, next.origin === log.origin]).toEqual([1, false]);
    await next.close();
    expect((await openTracked(name)).origin).toBe(next.origin);
  });

  test("is not what is asked for while it is there: nothing is forgotten", async () => {
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

  test("or has set back, or replaced, is refused", async () => {
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

  test("cannot be told where there is no second place: a new log begins", async () => {
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
