import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import { afterEach, describe, expect, test } from "vitest";
import type { Draft } from "../../../src/audit/entry.ts";
import { openBundle, type Report, verify, verifyProof } from "../../../src/audit/index.ts";
import { VakError } from "../../../src/errors.ts";
import { type AuditLog, type Checkpoint, type LogOptions, openLog } from "../../../src/log/log.ts";
import { forget } from "../../../src/log/rollback-guard.ts";
import type { Signer } from "../../../src/log/signer.ts";
import type { Anchor } from "../../../src/tlog/anchor.ts";
import { ed25519Verifier, formatVkey } from "../../../src/tlog/note.ts";
import { parseNote, parseVkey, verifyNote } from "../../../src/tlog/note-reading.ts";
import { done, raw, recordsOf } from "./database.ts";

const NOTE: Draft = { type: "policy-refused", textDigest: "00".repeat(32), message: "no" };
const generateKey = SubtleCrypto.prototype.generateKey;
const open: AuditLog[] = [];

afterEach(async () => {
  SubtleCrypto.prototype.generateKey = generateKey;
  for (const log of open.splice(0)) await log.close();
});

const newName = () => `k-${crypto.randomUUID()}`;

async function openTracked(name: string, options: LogOptions = {}): Promise<AuditLog> {
  const log = await openLog({ name, ...options });
  open.push(log);
  return log;
}

async function refusal(promise: Promise<unknown>): Promise<VakError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(VakError);
  return error as VakError;
}

async function verified(log: AuditLog, key = log.vkey): Promise<Report> {
  const report = await verify(await openBundle(await log.export()), { keys: [key] });
  expect(report.problems).toEqual([]);
  return report;
}

async function ownSigner(fill: number): Promise<Signer & { signed: string[]; broken: boolean }> {
  const secret = new Uint8Array(32).fill(fill);
  const signer = {
    publicKey: await getPublicKeyAsync(secret),
    signed: [] as string[],
    broken: false,
    sign: async (message: Uint8Array) => {
      if (signer.broken) throw new Error("the signer is not there");
      signer.signed.push(new TextDecoder().decode(message));
      return signAsync(message, secret);
    },
  };
  return signer;
}

describe("a signer of one's own", () => {
  test("signs the checkpoints, and the log says that it does", async () => {
    const name = newName();
    const signer = await ownSigner(1);
    const log = await openTracked(name, { signer });
    expect(log.vkey).toBe(formatVkey(ed25519Verifier(log.origin, Uint8Array.from(signer.publicKey))));
    await log.append(NOTE);
    await verified(log);
    expect(signer.signed.at(-1)).toContain(`${log.origin}\n2\n`);
    for await (const { entry } of log.entries()) {
      if (entry.type === "log-open") expect(entry).toMatchObject({ signer: "custom", extractable: null });
    }
    await log.close();
    // It is needed again, and no other will do.
    expect((await refusal(openLog({ name }))).code).toBe("invalid-argument");
    expect((await refusal(openLog({ name, signer: await ownSigner(2) }))).code).toBe("invalid-argument");
    await verified(await openTracked(name, { signer }));
  });

  test("that does not sign: no checkpoint, but the log goes on", async () => {
    const signer = await ownSigner(1);
    const log = await openTracked(newName(), { signer });
    await log.append(NOTE);
    signer.broken = true;
    expect((await refusal(log.checkpoint())).code).toBe("signer-failed");
    expect(await log.append(NOTE)).toEqual({ seq: 2 });
    signer.broken = false;
    await verified(log);
  });

  test("that signs something else, is not believed", async () => {
    const good = await ownSigner(1);
    const other = await ownSigner(2);
    const wrong: Signer["sign"][] = [
      other.sign,
      async (message) => (await good.sign(message)).slice(1),
      async () => new Uint8Array(64),
      async () => "no" as unknown as Uint8Array,
      async (message) => {
        message.fill(0);
        return good.sign(message);
      },
    ];
    for (const sign of wrong) {
      const log = await openTracked(newName(), { signer: { publicKey: good.publicKey, sign } });
      expect((await refusal(log.checkpoint())).code).toBe("signer-failed");
    }
    for (const publicKey of [new Uint8Array(31), "x"]) {
      const signer = { publicKey, sign: good.sign } as Signer;
      expect((await refusal(openLog({ name: newName(), signer }))).code).toBe("invalid-argument");
    }
  });
});

describe("a key that is replaced", () => {
  test("by another that the log makes: both sign, and who knew the old one follows", async () => {
    const name = newName();
    let log = await openTracked(name);
    await log.append(NOTE);
    const old = log.vkey;
    const before = await log.prove(1);
    const { note, size } = await log.rotate();
    expect(log.vkey).not.toBe(old);
    expect(size).toBe(3);
    const signers = await verifyNote(parseNote(new TextEncoder().encode(note)), [parseVkey(old), parseVkey(log.vkey)]);
    expect(signers.length).toBe(2);
    await log.append(NOTE);
    await log.rotate();
    await Promise.all([log.append(NOTE), log.append(NOTE)]);
    await log.close();
    log = await openTracked(name);
    await log.append(NOTE);
    for (const key of [old, log.vkey]) {
      const report = await verified(log, key);
      expect(report).toMatchObject({ size: 8, keys: [log.vkey], entries: { "key-rotation": 2 } });
    }
    expect((await verifyProof(before, [old])).seq).toBe(1);
    expect((await verifyProof(await log.prove(1), [log.vkey])).seq).toBe(1);
  });

  test("by the caller's, and back", async () => {
    const name = newName();
    let log = await openTracked(name);
    const first = log.vkey;
    const signer = await ownSigner(1);
    await log.rotate(signer);
    await log.append(NOTE);
    await verified(log, first);
    expect((await refusal(log.rotate(signer))).code).toBe("invalid-argument");
    await log.close();
    expect((await refusal(openLog({ name }))).code).toBe("invalid-argument");
    log = await openTracked(name, { signer });
    const second = await ownSigner(2);
    await log.rotate(second);
    await log.rotate();
    await log.append(NOTE);
    await log.close();
    log = await openTracked(name);
    await verified(log, first);
    expect((await log.status()).signer).toBe("webcrypto");
  });

  test("is not, by a signer that does not sign", async () => {
    const log = await openTracked(newName());
    const before = log.vkey;
    const signer = await ownSigner(1);
    signer.broken = true;
    expect((await refusal(log.rotate(signer))).code).toBe("signer-failed");
    expect([log.vkey, log.size]).toEqual([before, 1]);
    await log.append(NOTE);
    await verified(log);
  });

  test("while others append: what they append is acknowledged, and all is there", async () => {
    const log = await openTracked(newName());
    const old = log.vkey;
    const work = Array.from({ length: 30 }, async (_, i) => {
      if (i % 10 === 5) return log.rotate();
      return log.append(NOTE);
    });
    await Promise.all(work);
    expect(log.size).toBe(31);
    await verified(log, old);
  });

  test("in a forged bundle: each part of the handing over is needed", async () => {
    const log = await openTracked(newName());
    const old = log.vkey;
    await log.rotate();
    await log.append(NOTE);
    const bundle = await openBundle(await log.export());
    const files = new Map<string, Uint8Array>();
    for (const path of await bundle.paths()) files.set(path, (await bundle.read(path, 2 ** 20))!);
    const problems = async (change: (files: Map<string, Uint8Array>) => void, keys = [old]) => {
      const copy = new Map(files);
      change(copy);
      return (await verify(copy, { keys })).problems.map(({ where, message }) => `${where}: ${message}`).join("\n");
    };
    const text = (path: string) => new TextDecoder().decode(files.get(path));
    const set = (path: string, content: string) => (copy: Map<string, Uint8Array>) =>
      void copy.set(path, new TextEncoder().encode(content));
    expect(await problems(() => {})).toBe("");
    expect(await problems((copy) => copy.delete("rotations/1"))).toContain("rotations/1: the file is missing");
    const lines = text("rotations/1").trimEnd().split("\n");
    for (const line of [4, 5]) {
      const one = lines.filter((_, i) => i !== line).join("\n");
      expect(await problems(set("rotations/1", `${one}\n`))).toContain("rotations/1: it is not signed by both keys");
    }
    expect(await problems(set("rotations/1", text("checkpoint")))).toContain("rotations/1: ");
    expect(await problems(set("rotations/2", text("rotations/1")))).toContain(
      "rotations/2: the log does not mention this file",
    );
    const [first, second] = text("keys.txt").trimEnd().split("\n");
    expect(await problems(set("keys.txt", `${second}\n`), [second!])).toContain(
      `keys.txt: the key ${first} is missing`,
    );
    expect(await problems(set("keys.txt", `${first}\n`))).toContain("checkpoint: No signature is by a known key.");
    const stranger = formatVkey(ed25519Verifier(log.origin, Uint8Array.from((await ownSigner(9)).publicKey)));
    expect(await problems(set("keys.txt", `${text("keys.txt")}${stranger}\n`), [stranger])).toContain(
      "checkpoint: No signature is by a known key.",
    );
    // A checkpoint that only the old key signed is not one any more.
    expect(await problems(set("checkpoint", `${lines.slice(0, 5).join("\n")}\n`))).not.toBe("");
  });
});

describe("how a log fares", () => {
  test("is told", async () => {
    const log = await openTracked(newName());
    await log.append(NOTE);
    const before = await log.status();
    expect(before).toMatchObject({
      mode: "writing",
      size: 2,
      signer: "webcrypto",
      extractable: false,
      checkpoint: null,
      anchored: null,
      anchorError: null,
    });
    // WebKitGTK has no StorageManager, and so does not tell.
    const storage = navigator.storage as StorageManager | undefined;
    expect(before.storage).toBe((await storage?.persisted()) ? "persistent" : "ephemeral");
    const told = (await storage?.estimate())?.quota !== undefined;
    expect(before.availableBytes).toEqual(told ? expect.any(Number) : null);
    expect(before.usedBytes).toEqual(told ? expect.any(Number) : null);
    const checkpoint = await log.checkpoint();
    expect((await log.status()).checkpoint).toEqual(checkpoint);
    await log.close();
    expect((await log.status()).mode).toBe("ended");
  });

  test("is under a checkpoint soon, unasked", async () => {
    const log = await openTracked(newName(), { checkpointMs: 30 });
    await log.append(NOTE);
    await expect.poll(async () => (await log.status()).checkpoint?.size).toBe(2);
    await Promise.all([log.append(NOTE), log.append(NOTE)]);
    await expect.poll(async () => (await log.status()).checkpoint?.size).toBe(4);
  });
});

/** Every record of a log's database, and a way to put them back: a copy of a profile. */
async function copyOf(name: string): Promise<() => Promise<void>> {
  const db = await raw(name);
  const stores = [...db.objectStoreNames];
  const records = await recordsOf(db);
  return async () => {
    const writing = db.transaction(stores, "readwrite");
    for (const store of stores) writing.objectStore(store).clear();
    for (const [store, key, value] of records) writing.objectStore(store).put(value, key);
    await done(writing);
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

  test("is given each checkpoint, and a log that extends it goes on", async () => {
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

  test("shows that a profile was copied back: the log refuses to be opened, and signs nothing", async () => {
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
    await forget(name); // what else the profile holds is as old
    const count = kept.length;
    expect((await refusal(openLog({ name, anchor }))).code).toBe("log-rollback");
    expect(kept.length).toBe(count);
    // Without the anchor nobody can tell; and when it has grown past, it is another log.
    log = await openTracked(name);
    await Promise.all([1, 2, 3].map(() => log.append({ ...NOTE, message: "another history" })));
    await log.close();
    const error = await refusal(openLog({ name, anchor }));
    expect(error.code).toBe("log-rollback");
    expect(error.message).toContain("first 3 entries");
  });

  test("without a memory that can be read, is told what there is, and may refuse it", async () => {
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

  test("that cannot be asked: the log is not opened", async () => {
    const anchor: Anchor = { newest: () => Promise.reject(new Error("offline")), put: async () => undefined };
    const error = await refusal(openLog({ name: newName(), anchor }));
    expect([error.code, error.message]).toEqual(["log-unavailable", expect.stringContaining("offline")]);
    const other: Anchor = { newest: async () => "nonsense", put: async () => undefined };
    expect((await refusal(openLog({ name: newName(), anchor: other }))).code).toBe("invalid-bundle");
  });

  test("that fails later is told again with the next checkpoint, and the log goes on", async () => {
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

  test("that shows a rollback while the log is open, ends it", async () => {
    const anchor: Anchor = {
      newest: async () => undefined,
      put: () => Promise.reject(new VakError("log-rollback", "a fork")),
    };
    const log = await openTracked(newName(), { anchor });
    await log.checkpoint();
    expect((await log.failed).code).toBe("log-rollback");
    expect((await refusal(log.append(NOTE))).code).toBe("log-rollback");
  });

  test("may answer with signature lines, which are kept with the checkpoint; nothing else is", async () => {
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
