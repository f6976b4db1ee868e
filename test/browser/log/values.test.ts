/** Private values beside entries: read, erased, and without the secrets that a schema marks. */
import { afterEach, describe, expect, test } from "vitest";
import { openBundle } from "../../../src/audit/index.ts";
import type { Denial, Intent } from "../../../src/audit/vocabulary/call.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { Taint } from "../../../src/broker/taint.ts";
import type { LoadedPolicy, PolicyEngine } from "../../../src/policy/engine.ts";
import { defineTool, type Tool } from "../../../src/tool/definition.ts";
import {
  AGENT,
  allOf,
  beginRun,
  closeLogs,
  databaseOf,
  intent,
  newName,
  openTracked,
  outcome,
  policyDigest,
  refusal,
  verified,
} from "./fixtures.ts";

afterEach(closeLogs);

describe("private values", () => {
  test("an erased value is gone for good; the log records it and still verifies", async () => {
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

  test("values, few or many, small or large, are read, exported and erased one by one", async () => {
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
    // The lengths of each commit's values; up to 16 KiB in all, they are stored with the entries.
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

  test("secrets that a tool's schema marks are neither in the log nor in its database or export", async () => {
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
        taint: new Taint(),
        hold: () => () => {},
      };
      await broker.handle(caller, request);
    }
    // The policy and the tool saw the password,
    expect(decided.map(({ input }) => ({ ...input }))).toEqual(Array(2).fill({ user: "ann", password: "hunter2" }));
    expect(seen).toEqual([{ user: "ann", password: "hunter2" }]);
    // the log did not, nor anything that it could be guessed from: the same call has a different digest each time.
    const entries = (await allOf(log)).map(({ entry }) => entry);
    const [allowed, denied] = [entries.find(({ type }) => type === "intent"), entries.at(-1)] as [Intent, Denial];
    expect(allowed.callDigest).toBe(decided[0]!.vak.callDigest);
    expect(denied.callDigest).not.toBe(allowed.callDigest);
    expect(await log.value(allowed.seq)).toEqual({ user: "ann", password: null });
    expect(await log.value(denied.seq)).toEqual({ user: "ann", password: null });
    expect(await (await log.export()).text()).not.toContain("hunter2");
    const db = await databaseOf(name);
    for (const store of db.objectStoreNames) {
      const all = await db.getAll(store);
      const text = all.map((item) => (item instanceof Uint8Array ? new TextDecoder().decode(item) : ""));
      expect(text.join("\n")).not.toContain("hunter2");
    }
    db.close();
    expect((await verified(log)).withheld).toBe(2);
  });
});
