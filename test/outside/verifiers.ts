/** Runs verifiers that others wrote (Go's sumdb, openssl, Sigstore) on a log. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createPublicKey, type KeyObject } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll } from "vitest";
import { goEnv, installVerifiers } from "../../scripts/log-verifiers.mjs";
import { parseNote, parseVkey } from "../../src/tlog/note-reading.ts";

export type Files = ReadonlyMap<string, Uint8Array>;

/** The verifiers that are installed. In CI no test may be left out, so a missing one is an error there. */
export const have = installVerifiers();
for (const [name, found] of Object.entries(have)) {
  if (found) continue;
  const message = `SKIPPED: ${name} is not installed, so logs are not verified by it (node scripts/log-verifiers.mjs installs it)`;
  if (process.env.CI) throw new Error(message);
  console.warn(message);
}

const folder = mkdtempSync(join(tmpdir(), "vak-outside-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;

export function writeFolder(files: Files): string {
  const root = join(folder, `bundle-${count++}`);
  mkdirSync(root);
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), bytes);
  }
  return root;
}

/** One change to a directory: a bit flipped, or files replaced (null: deleted). */
export type Change = { flip: { path: string; at: number; bit: number } } | { files: Record<string, Uint8Array | null> };

let program: string | undefined;

function buildGo(): string {
  if (program) return program;
  program = join(folder, "verify-go");
  const env = { ...process.env, ...goEnv, GOCACHE: join(folder, "go-cache") };
  execFileSync("go", ["build", "-o", program, join(import.meta.dirname, "go/verify.go")], { env, stdio: "pipe" });
  return program;
}

/** Go's answer to each change of a directory: "ok", or why it refused. The default is one change, which is empty. */
export async function goVerify(
  root: string,
  vkey: string,
  changes: Iterable<Change> = [{ files: {} }],
): Promise<string[]> {
  const child: ChildProcess = spawn(buildGo(), [root, vkey], { stdio: ["pipe", "pipe", "inherit"] });
  const answers: string[] = [];
  const lines = createInterface({ input: child.stdout! });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  const reading = (async () => {
    for await (const line of lines) answers.push(line);
  })();
  let asked = 0;
  for (const change of changes) {
    asked++;
    const line = "flip" in change ? change : { files: mapValues(change.files) };
    if (!child.stdin!.write(`${JSON.stringify(line)}\n`)) await new Promise((done) => child.stdin!.once("drain", done));
  }
  child.stdin!.end();
  const code = await ended;
  await reading;
  if (code !== 0 || answers.length !== asked)
    throw new Error(`Go answered ${answers.length} of ${asked}, exit ${code}`);
  return answers;
}

const mapValues = (files: Record<string, Uint8Array | null>) =>
  Object.fromEntries(
    Object.entries(files).map(([path, bytes]) => [path, bytes && Buffer.from(bytes).toString("base64")]),
  );

function spki(vkey: string): Buffer {
  return Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), parseVkey(vkey).publicKey]);
}

/** Whether openssl accepts the first signature of a checkpoint. */
export function opensslVerify(checkpoint: string, vkey: string): boolean {
  const { text, signatures } = parseNote(new TextEncoder().encode(checkpoint));
  const base = join(folder, `openssl-${count++}`);
  writeFileSync(`${base}.der`, spki(vkey));
  writeFileSync(`${base}.txt`, text);
  writeFileSync(`${base}.sig`, signatures[0]!.signature);
  const key = ["-pubin", "-keyform", "DER", "-inkey", `${base}.der`];
  try {
    const out = execFileSync(
      "openssl",
      ["pkeyutl", "-verify", ...key, "-rawin", "-in", `${base}.txt`, "-sigfile", `${base}.sig`],
      { encoding: "utf8", stdio: "pipe" },
    );
    return out.includes("Signature Verified Successfully");
  } catch {
    return false;
  }
}

interface Sigstore {
  verifyCheckpoint(entry: object, logs: object[]): { logSize: bigint };
  verifyMerkleInclusion(entry: object, checkpoint: object): void;
}

const require = createRequire(import.meta.url);
const sigstore: Sigstore = {
  ...require("@sigstore/verify/dist/tlog/checkpoint.js"),
  ...require("@sigstore/verify/dist/tlog/merkle.js"),
};

/**
 * Has Sigstore verify the note of a receipt, and that the entry is in the tree.
 *
 * @throws when it refuses
 */
export async function sigstoreVerify(receipt: string, vkey: string): Promise<void> {
  const blank = receipt.indexOf("\n\n");
  const [, extra, index, ...hashes] = receipt.slice(0, blank).split("\n");
  const { name, keyId } = parseVkey(vkey);
  const publicKey: KeyObject = createPublicKey({ key: spki(vkey), format: "der", type: "spki" });
  const inclusionProof = {
    logIndex: index!.slice("index ".length),
    hashes: hashes.map((hash) => Buffer.from(hash, "base64")),
    checkpoint: { envelope: receipt.slice(blank + 2) },
  };
  const entry = { inclusionProof, canonicalizedBody: Buffer.from(extra!.slice("extra ".length), "base64") };
  const checkpoint = sigstore.verifyCheckpoint(entry, [{ logID: Buffer.from(keyId), publicKey, baseURL: name }]);
  sigstore.verifyMerkleInclusion(entry, checkpoint);
}
