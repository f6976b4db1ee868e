/** Who signed a bundle, and which witnesses cosigned it, when its writer lies about it. */
import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import { expect, test } from "vitest";
import { bundleFiles } from "../../../src/audit/bundle-files.ts";
import { type Report, verify } from "../../../src/audit/index.ts";
import { formatCheckpoint } from "../../../src/tlog/checkpoint.ts";
import { cosignatureVerifier, ed25519Verifier, formatNote, formatVkey, type Verifier } from "../../../src/tlog/note.ts";
import { cosignedMessage, parseNote } from "../../../src/tlog/note-reading.ts";
import { logOpen, MemoryLog, ORIGIN, signed } from "./memory-log.ts";

const FIRST = new Uint8Array(32).fill(7);
const SECOND = new Uint8Array(32).fill(8);
const THIRD = new Uint8Array(32).fill(9);
const WITNESS = "witness.example";

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** 32 bytes that begin with a number. */
function numbered(number: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

async function openedLog(): Promise<MemoryLog> {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  return log;
}

/** The bundle, with a cosignature under its checkpoint. */
async function cosigned(files: Map<string, Uint8Array<ArrayBuffer>>, witness: Verifier, time: bigint) {
  const { text, signatures } = parseNote(files.get("checkpoint")!);
  const stamped = new Uint8Array(72);
  new DataView(stamped.buffer).setBigUint64(0, time);
  stamped.set(await signAsync(cosignedMessage(time, text), SECOND), 8);
  return new Map(files).set(
    "checkpoint",
    formatNote({ text, signatures: [...signatures, { ...witness, signature: stamped }] }),
  );
}

const problems = ({ problems }: Report) => problems.map(({ where, message }) => `${where}: ${message}`);

test("attack: a key of the log's own has the name and the key id of a witness. It does not cosign for the witness", async () => {
  // Found by trying: their key ids, 4 bytes, are the same.
  const secret = numbered(10_779);
  const own = ed25519Verifier(WITNESS, Uint8Array.from(await getPublicKeyAsync(secret)));
  const witness = cosignatureVerifier(WITNESS, numbered(126_215));
  expect(own.keyId).toEqual(witness.keyId);

  const log = await openedLog();
  const first = ed25519Verifier(ORIGIN, Uint8Array.from(await getPublicKeyAsync(FIRST)));
  const [firstKey, ownKey] = [formatVkey(first), formatVkey(own)];
  const byBoth = async (size: number) => {
    const text = formatCheckpoint({ origin: ORIGIN, size, root: log.writer.root() });
    const signatures = [
      { ...first, signature: Uint8Array.from(await signAsync(utf8(text), FIRST)) },
      { ...own, signature: Uint8Array.from(await signAsync(utf8(text), secret)) },
    ];
    return new TextDecoder().decode(formatNote({ text, signatures }));
  };
  for (const [previous, vkey] of [[firstKey, ownKey] as const, [ownKey, firstKey] as const]) {
    const seq = log.append({ type: "key-rotation", previous, vkey, signer: "noble", extractable: true });
    log.commit();
    log.changes.push({ seq, previous, note: await byBoth(seq + 1) });
  }
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for await (const { path, bytes } of bundleFiles(log, { note: await byBoth(3), size: 3, vkey: firstKey })) {
    files.set(path, bytes.slice());
  }
  files.set("keys.txt", utf8(`${firstKey}\n${ownKey}\n`));

  expect(problems(await verify(files, { keys: [firstKey] }))).toEqual([]);
  const report = await verify(files, { keys: [firstKey], witnesses: [formatVkey(witness)] });
  expect(problems(report)).toEqual([`checkpoint: The signature by ${WITNESS} is wrong.`]);
  expect(report.witnesses).toEqual([]);
});

test("a cosignature counts with its time, unless that is not a date", async () => {
  const log = await openedLog();
  log.commit();
  const witness = cosignatureVerifier(WITNESS, Uint8Array.from(await getPublicKeyAsync(SECOND)));
  const witnesses = [formatVkey(witness)];
  const files = await log.bundle();
  const last = 8_640_000_000_000n;
  expect(await verify(await cosigned(files, witness, last), { witnesses })).toMatchObject({
    ok: true,
    witnesses: [{ key: witnesses[0], time: Number(last) * 1000 }],
    notChecked: [expect.stringContaining("the key came with the bundle")],
  });
  const far = await verify(await cosigned(files, witness, last + 1n), { witnesses });
  expect(problems(far)).toEqual([`checkpoint: The time of the cosignature by ${witnesses[0]} is not a date.`]);
});

test("a witness given twice is one witness, and signatures by other keys are counted", async () => {
  const log = await openedLog();
  log.commit();
  const witness = cosignatureVerifier(WITNESS, Uint8Array.from(await getPublicKeyAsync(SECOND)));
  const vkey = formatVkey(witness);
  const files = await cosigned(await log.bundle(), witness, 1n);
  const { text, signatures } = parseNote(files.get("checkpoint")!);
  const stranger = parseNote(utf8((await signed(1, log.writer.root(), THIRD)).note)).signatures;
  // The witness's own line twice is by a key that was given, both times.
  const more = formatNote({ text, signatures: [...signatures, ...stranger, signatures.at(-1)!] });
  const report = await verify(files.set("checkpoint", more), { witnesses: [vkey, vkey] });
  expect(report.witnesses).toEqual([{ key: vkey, time: 1000 }]);
  expect(report.notChecked).toContain("1 signature of the checkpoint is by a key that was not given");
});

test("a second signature that only claims to be by the log's key is reported as not checked", async () => {
  const log = await openedLog();
  log.commit();
  const files = await log.bundle();
  const { text, signatures } = parseNote(files.get("checkpoint")!);
  const forged = (byte: number) => ({ ...signatures[0]!, signature: new Uint8Array(64).fill(byte) });
  // Its signature is that of the log's own key.
  const stranger = { ...signatures[0]!, name: "example.org/stranger" };
  const notChecked = async (...more: typeof signatures) => {
    const note = formatNote({ text, signatures: [...signatures, ...more] });
    const report = await verify(new Map(files).set("checkpoint", note));
    expect(report.ok).toBe(true);
    return report.notChecked.filter((line) => line.includes("signature"));
  };
  expect(await notChecked(forged(1))).toEqual([
    "1 signature of the checkpoint names a key whose first signature was checked instead",
  ]);
  expect(await notChecked(signatures[0]!)).toEqual([]);
  expect(await notChecked(stranger, forged(1), forged(2), stranger)).toEqual([
    "2 signatures of the checkpoint are by keys that were not given",
    "2 signatures of the checkpoint name keys whose first signatures were checked instead",
  ]);
});

test("a log that three keys signed, none of them known: all three are named", async () => {
  const log = await openedLog();
  log.commit();
  const files = await log.bundle();
  const notes = await Promise.all([FIRST, SECOND, THIRD].map((secret) => signed(1, log.writer.root(), secret)));
  const { text } = parseNote(files.get("checkpoint")!);
  const signatures = notes.flatMap(({ note }) => parseNote(utf8(note)).signatures);
  const vkeys = notes.map(({ vkey }) => vkey);
  files.set("checkpoint", formatNote({ text, signatures })).set("keys.txt", utf8(`${vkeys.join("\n")}\n`));
  const { vkey: other } = await signed(1, log.writer.root(), numbered(1));
  const report = await verify(files, { keys: [other] });
  expect(problems(report)).toContain(
    `checkpoint: The log is signed by ${vkeys.join(" and ")}, not by the key you gave.`,
  );
});

test("a known key that signed a log which does not name it: that is what is wrong", async () => {
  const log = await openedLog();
  log.commit();
  const second = await signed(1, log.writer.root(), SECOND);
  const files = await log.bundle();
  const [own, other] = [parseNote(files.get("checkpoint")!), parseNote(utf8(second.note))];
  const both = formatNote({ text: own.text, signatures: [...own.signatures, ...other.signatures] });
  expect(problems(await verify(files.set("checkpoint", both), { keys: [second.vkey] }))).toEqual([
    `checkpoint: the log does not mention the key ${second.vkey}, though that key signed it`,
  ]);
});
