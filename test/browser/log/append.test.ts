/** What an open log promises: commits, order, proofs, followers and closing. */
import { afterEach, describe, expect, test } from "vitest";
import type { Draft } from "../../../src/audit/entry.ts";
import { verifyConsistency, verifyProof } from "../../../src/audit/index.ts";
import { openLog } from "../../../src/log/log.ts";
import { parseNote, parseVkey, verifyNote } from "../../../src/tlog/note-reading.ts";
import {
  beginRun,
  closeLogs,
  END,
  intent,
  NOTE,
  newName,
  openTracked,
  outcome,
  refusal,
  SPAWN,
  START,
  verified,
} from "./fixtures.ts";

const { transaction } = IDBDatabase.prototype;

afterEach(async () => {
  IDBDatabase.prototype.transaction = transaction;
  await closeLogs();
});

describe("an open log", () => {
  test("the export of a run verifies", async () => {
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

  test("a log that is opened again resumes where it ended", async () => {
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

  test("a log verifies at every size around the edges of tiles, however often it is opened", async () => {
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

  test("receipts of single entries and consistency proofs verify", async () => {
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

  test("what is appended in one turn is committed in one strict transaction, in order", async () => {
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

  test("an entry that is malformed, too long or out of order is refused, and does not end the log", async () => {
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

  test("a follower gets every entry in order", async () => {
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

  test("following ends when the log is closed or the signal aborts", async () => {
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

  test("once it is closed, every call is refused, and no promise stays unsettled", async () => {
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

  test("a name of other characters, or too long, is refused", async () => {
    for (const name of ["", "a b", "a+b", "a/b", "é", "x".repeat(65)]) {
      expect((await refusal(openLog({ name }))).code).toBe("invalid-argument");
    }
  });
});
