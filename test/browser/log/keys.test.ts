/** The keys that sign checkpoints: the log's own, the caller's, and rotations between them. */

import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import { afterEach, describe, expect, test } from "vitest";
import { openBundle, verify, verifyProof } from "../../../src/audit/index.ts";
import { openLog } from "../../../src/log/log.ts";
import type { Signer } from "../../../src/log/signer.ts";
import { ed25519Verifier, formatNote, formatVkey } from "../../../src/tlog/note.ts";
import { parseNote, parseVkey, verifyNote } from "../../../src/tlog/note-reading.ts";
import { allOf, closeLogs, NOTE, newName, openTracked, recordOf, refusal, verified } from "./fixtures.ts";

const generateKey = SubtleCrypto.prototype.generateKey;

afterEach(async () => {
  SubtleCrypto.prototype.generateKey = generateKey;
  await closeLogs();
});

async function ownSigner(fill: number): Promise<Signer & { signed: string[]; broken: boolean }> {
  const secret = new Uint8Array(32).fill(fill);
  const signer = {
    publicKey: await getPublicKeyAsync(secret),
    signed: [] as string[],
    broken: false,
    sign: async (message: Uint8Array) => {
      if (signer.broken) throw new Error("the signer is unavailable");
      signer.signed.push(new TextDecoder().decode(message));
      return signAsync(message, secret);
    },
  };
  return signer;
}

describe("a key that the log makes", () => {
  test("is not extractable where WebCrypto has Ed25519", async () => {
    const name = newName();
    const log = await openTracked(name);
    const [first] = await allOf(log);
    expect(first!.entry).toMatchObject({ type: "log-open", signer: "webcrypto", extractable: false, vkey: log.vkey });
    const { key } = (await recordOf(name, "meta", "identity")) as { key: { privateKey: CryptoKey } };
    expect(key.privateKey.extractable).toBe(false);
    await expect(crypto.subtle.exportKey("pkcs8", key.privateKey)).rejects.toThrow();
  });

  test("is made by noble where WebCrypto has no Ed25519, and the log records that it is extractable", async () => {
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

  test("is asked for again when WebCrypto fails to make one, as WebKit does now and then", async () => {
    let calls = 0;
    SubtleCrypto.prototype.generateKey = function (this: SubtleCrypto, ...args: unknown[]) {
      if (++calls < 3) return Promise.reject(new DOMException("try again", "OperationError"));
      return Reflect.apply(generateKey, this, args).catch((error: unknown) => {
        calls--; // WebKit itself failed
        throw error;
      });
    } as typeof generateKey;
    const log = await openTracked(newName());
    const [first] = await allOf(log);
    expect(first!.entry).toMatchObject({ signer: "webcrypto" });
    expect(calls).toBe(3);
  });
});

describe("a signer of the caller's", () => {
  test("signs the checkpoints, and the log records that", async () => {
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
    // It is needed again, and no other signer will do.
    expect((await refusal(openLog({ name }))).code).toBe("invalid-argument");
    expect((await refusal(openLog({ name, signer: await ownSigner(2) }))).code).toBe("invalid-argument");
    await verified(await openTracked(name, { signer }));
  });

  test("that fails costs the log a checkpoint, but does not end it", async () => {
    const signer = await ownSigner(1);
    const log = await openTracked(newName(), { signer });
    await log.append(NOTE);
    signer.broken = true;
    expect((await refusal(log.checkpoint())).code).toBe("signer-failed");
    expect(await log.append(NOTE)).toEqual({ seq: 2 });
    signer.broken = false;
    await verified(log);
  });

  test("attack: a signer that returns anything but a signature of the checkpoint is refused", async () => {
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

describe("a key rotation", () => {
  test("to a new key of the log's is signed by both keys, and verifies from the old one", async () => {
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

  test("to a signer of the caller's and back verifies from the first key", async () => {
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

  test("to a signer that fails changes nothing", async () => {
    const log = await openTracked(newName());
    const before = log.vkey;
    const signer = await ownSigner(1);
    signer.broken = true;
    expect((await refusal(log.rotate(signer))).code).toBe("signer-failed");
    expect([log.vkey, log.size]).toEqual([before, 1]);
    await log.append(NOTE);
    await verified(log);
  });

  test("loses nothing that is appended meanwhile", async () => {
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

  test("attack: a bundle that lacks or forges any part of a rotation is refused", async () => {
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
    const signer = await ownSigner(9);
    const key = ed25519Verifier(log.origin, Uint8Array.from(signer.publicKey));
    const stranger = formatVkey(key);
    expect(await problems(set("keys.txt", `${text("keys.txt")}${stranger}\n`), [stranger])).toContain(
      `checkpoint: The log is signed by ${second}, not by the key you gave.`,
    );
    // A stranger's note in the place of the rotation's says nothing of who signed the log.
    const { text: signed } = parseNote(files.get("rotations/1")!);
    const signature = Uint8Array.from(await signer.sign(new TextEncoder().encode(signed)));
    const note = formatNote({ text: signed, signatures: [{ ...key, signature }] });
    expect(await problems((copy) => copy.set("rotations/1", note), [second!])).toBe(
      "rotations/1: No signature is by a known key.",
    );
    // After the rotation, the old key alone cannot sign a checkpoint.
    expect(await problems(set("checkpoint", `${lines.slice(0, 5).join("\n")}\n`))).not.toBe("");
  });
});
