/** Logs of many sizes, intact and tampered with, verified by vak and by verifiers that others wrote. */
import { beforeAll, describe, expect, test, vi } from "vitest";
import { verify, verifyProof } from "../../src/audit/index.ts";
import { encodeEntries } from "../../src/tlog/entry-bundle.ts";
import { makeProof } from "../../src/tlog/proof.ts";
import { verifiedOnce } from "../setup/verified-once.ts";
import { logOpen, MemoryLog, POLICY, signed } from "../unit/audit/memory-log.ts";
import { type Change, type Files, goVerify, have, opensslVerify, sigstoreVerify, writeFolder } from "./verifiers.ts";

vi.mock("@noble/ed25519", async (original) => verifiedOnce(await original()));

const SIZES = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000];
const MAX = SIZES.at(-1)!;
/** The size of a log that is changed in many ways. */
const CHANGED = 600;

let vkey: string;
const log = new MemoryLog();
const notes = new Map<number, string>();
const roots = new Map<number, Uint8Array<ArrayBuffer>>();
const bundles = new Map<number, Files>();

beforeAll(async () => {
  vkey = (await signed(0, new Uint8Array(32))).vkey;
  const keep = async (size: number) => {
    const root = log.writer.root();
    roots.set(size, root);
    notes.set(size, (await signed(size, root)).note);
  };
  await keep(0);
  for (let i = 0; i < MAX; i++) {
    if (i === 0) log.append(...(await logOpen()));
    else if (i === 1) log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
    else log.append({ type: "policy-refused", textDigest: "00".repeat(32), message: `${i}`.repeat(i % 7) });
    if (SIZES.includes(i + 1) || i + 1 === CHANGED) await keep(i + 1);
    if (i % 1000 === 999) log.commit();
  }
  log.commit();
}, 120_000);

/** The bundle of the log's first entries: of one of {@link SIZES}, or of {@link CHANGED}. */
async function bundleOf(size: number): Promise<Files> {
  const bundle = bundles.get(size) ?? (await log.bundle(size, roots.get(size)!));
  bundles.set(size, bundle);
  return bundle;
}

describe.each(SIZES)("a log of %i entries is accepted unchanged", (size) => {
  test("by vak", async () => {
    const report = await verify(await bundleOf(size), { keys: [vkey] });
    expect(report).toMatchObject({ ok: true, problems: [], size });
  });

  test.skipIf(!have.go)("by Go's x/mod/sumdb", async () => {
    expect(await goVerify(writeFolder(await bundleOf(size)), vkey)).toEqual(["ok"]);
  });

  test.skipIf(!have.openssl)("by openssl, the signature", () => {
    const note = notes.get(size)!;
    expect(opensslVerify(note, vkey)).toBe(true);
    expect(opensslVerify(note.replace(`\n${size}\n`, `\n${size + 1}\n`), vkey)).toBe(false);
  });

  // An empty log has no entry that could have a receipt.
  if (size === 0) return;
  test("by @sigstore/verify, receipts of its entries", async () => {
    const seqs = [0, 1, 2, 254, 255, 256, 511, 512, 65_535, 65_536, size >> 1, size - 2, size - 1];
    for (const seq of new Set(seqs.filter((seq) => seq >= 0 && seq < size))) {
      const receipt = await makeProof(log, seq, notes.get(size)!, size);
      await sigstoreVerify(receipt, vkey);
      expect((await verifyProof(receipt, [vkey])).seq).toBe(seq);
      await expect(sigstoreVerify(receipt.replace(`index ${seq}\n`, `index ${seq + 1}\n`), vkey)).rejects.toThrow();
      const other = receipt.replace(/^extra (.)/m, (_, first) => `extra ${first === "e" ? "f" : "e"}`);
      await expect(sigstoreVerify(other, vkey)).rejects.toThrow();
    }
  });
});

/** Applies a change as the Go program does. */
function changed(files: Files, change: Change): Files {
  const all = new Map(files);
  if ("flip" in change) {
    const { path, at, bit } = change.flip;
    all.set(
      path,
      files.get(path)!.map((byte, i) => (i === at ? byte ^ (1 << bit) : byte)),
    );
    return all;
  }
  for (const [path, bytes] of Object.entries(change.files)) {
    if (bytes) all.set(path, bytes);
    else all.delete(path);
  }
  return all;
}

/** The files that Go reads: it does not know the others, which are values, policies and the list of keys. */
const isTlog = (path: string) => path === "checkpoint" || path.startsWith("tile/");

/**
 * The signature of a checkpoint is 68 bytes in base64, whose last character has two unused bits. Go ignores them; ours
 * insists on the canonical spelling.
 */
function meansTheSame(files: Files, change: Change): boolean {
  if (!("flip" in change) || change.flip.path !== "checkpoint") return false;
  const [before, after] = [files, changed(files, change)].map((f) => new TextDecoder().decode(f.get("checkpoint")!));
  const split = (note: string) => {
    const at = note.lastIndexOf(" ");
    return [note.slice(0, at), Buffer.from(note.slice(at), "base64").toString("hex"), note.length, note.slice(-2)];
  };
  return JSON.stringify(split(before!)) === JSON.stringify(split(after!));
}

async function refusedByAll(files: Files, changes: Change[]): Promise<void> {
  expect((await verify(files, { keys: [vkey] })).ok).toBe(true);
  for (const change of changes) {
    const report = await verify(changed(files, change), { keys: [vkey] });
    if (report.ok) expect.fail(`vak accepted ${describeChange(change)}`);
  }
  if (!have.go) return;
  const seen = changes.filter((change) =>
    "flip" in change
      ? isTlog(change.flip.path) && !meansTheSame(files, change)
      : Object.keys(change.files).some(isTlog),
  );
  const answers = await goVerify(writeFolder(files), vkey, [{ files: {} }, ...seen]);
  expect(answers.shift()).toBe("ok");
  for (const [i, answer] of answers.entries()) {
    if (!answer.startsWith("refused: ")) expect.fail(`Go took ${describeChange(seen[i]!)}`);
  }
}

const describeChange = (change: Change) =>
  JSON.stringify("flip" in change ? change : { files: Object.keys(change.files) });

describe("attack: tampering is refused by vak and by Go", () => {
  test("any bit of a small log flipped", async () => {
    const files = await bundleOf(2);
    const changes: Change[] = [];
    for (const [path, bytes] of files) {
      for (let at = 0; at < bytes.length; at++) {
        for (let bit = 0; bit < 8; bit++) changes.push({ flip: { path, at, bit } });
      }
    }
    expect(changes.length).toBeGreaterThan(6000);
    await refusedByAll(files, changes);
  }, 240_000);

  test("files deleted, emptied, cut short, made longer, swapped, copied or from an earlier export", async () => {
    const files = await bundleOf(CHANGED);
    const earlier = await bundleOf(257);
    const changes: Change[] = [];
    for (const [path, bytes] of files) {
      changes.push({ files: { [path]: null } });
      const cuts = new Set([0, 1, bytes.length >> 1, bytes.length - 32, bytes.length - 1]);
      for (const cut of cuts) changes.push({ files: { [path]: bytes.slice(0, Math.max(0, cut)) } });
      changes.push({ files: { [path]: new Uint8Array([...bytes, 0]) } });
      changes.push({ files: { [path]: new Uint8Array([...bytes, ...bytes]) } });
      for (const [other, otherBytes] of files) {
        if (other === path) continue;
        changes.push({ files: { [path]: otherBytes, [other]: bytes } });
        changes.push({ files: { [path]: otherBytes } });
      }
      for (const copy of [path.replace("000", "003"), path.replace("tile/0", "tile/2"), `${path}.p/9`]) {
        if (!files.has(copy)) changes.push({ files: { [copy]: bytes } });
      }
    }
    for (const [path, bytes] of earlier) {
      const now = files.get(path);
      if (!now || Buffer.compare(now, bytes) !== 0) changes.push({ files: { [path]: bytes } });
    }
    await refusedByAll(files, changes);
  }, 240_000);

  test("entries deleted, swapped, repeated, replaced or copied from another log", async () => {
    const files = await bundleOf(CHANGED);
    const changes: Change[] = [];
    for (const [path, first, width] of [
      ["tile/entries/000", 0, 256],
      ["tile/entries/001", 256, 256],
      ["tile/entries/002.p/88", 512, 88],
    ] as const) {
      const entries = log.stored.slice(first, first + width);
      const put = (list: readonly Uint8Array[]) => changes.push({ files: { [path]: encodeEntries(list) } });
      for (let i = 0; i < width; i += 5) {
        put(entries.toSpliced(i, 1));
        put(entries.toSpliced(i, 1, entries[(i + 1) % width]!));
        put(entries.toSpliced(i, 2, entries[(i + 1) % width]!, entries[i]!));
        put(entries.toSpliced(i, 0, entries[i]!));
        put(entries.toSpliced(i, 1, log.stored[1000 + i]!));
        put(entries.toSpliced(i, 1, new Uint8Array()));
      }
      put(entries.slice(0, -1));
      put([...entries, log.stored[first + width]!]);
      put(entries.toReversed());
    }
    await refusedByAll(files, changes);
  }, 240_000);
});
