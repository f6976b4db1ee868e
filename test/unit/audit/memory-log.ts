/** A log in memory, for tests: its entries, its key and its bundle. */
import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import { bundleFiles, type LoadedText, type LogSource } from "../../../src/audit/bundle-files.ts";
import type { Draft } from "../../../src/audit/entry.ts";
import type { AgentRef } from "../../../src/audit/vocabulary/common.ts";
import { type Attached, type Batch, Writer } from "../../../src/log/writer.ts";
import { formatCheckpoint } from "../../../src/tlog/checkpoint.ts";
import { ed25519Verifier, formatNote, formatVkey } from "../../../src/tlog/note.ts";

export const POLICY = `permit (principal, action == Action::"call:add", resource);`;
export const AGENT: AgentRef = { name: "tester", id: "a1", program: "ab".repeat(32) };
const SECRET = new Uint8Array(32).fill(7);
export const ORIGIN = "vak.invalid/0123456789abcdef/test";

export type Step = readonly [draft: Parameters<Writer["append"]>[0], attached?: Attached];

/** The log's own writer, storing into arrays in memory: what the log does, without a browser. */
export class MemoryLog implements LogSource {
  readonly writer = new Writer();
  readonly stored: Uint8Array<ArrayBuffer>[] = [];
  readonly tiles = new Map<string, Uint8Array<ArrayBuffer>>();
  files: { seq: number; file: Uint8Array<ArrayBuffer> }[] = [];
  readonly texts: LoadedText[] = [];
  readonly batches: Batch[] = [];

  append(...[draft, attached]: Step): number {
    return this.writer.append(draft, attached, 1_700_000_000_000);
  }

  commit(): void {
    const batch = this.writer.take();
    if (!batch) return;
    this.batches.push(batch);
    for (const { bytes } of batch.entries) this.stored.push(bytes);
    for (const { level, index, hashes } of batch.tiles) this.tiles.set(`${level}/${index}`, hashes);
    this.files.push(...batch.values);
    this.files = this.files.filter(({ seq }) => !batch.erased.includes(seq));
    this.texts.push(...batch.policies);
  }

  entries = async (from: number, end: number) => this.stored.slice(from, end);
  tile = async (level: number, index: number) => this.tiles.get(`${level}/${index}`);
  values = async (from: number, end: number) => this.files.filter(({ seq }) => seq >= from && seq < end);
  policies = async () => this.texts;
  readonly changes: { seq: number; previous: string; note: string }[] = [];
  rotations = async () => this.changes;

  async bundle(size = this.stored.length, root = this.writer.root()): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
    const { note, vkey } = await signed(size, root);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for await (const { path, bytes } of bundleFiles(this, { note, size, vkey })) files.set(path, bytes.slice());
    return files;
  }
}

export async function signed(size: number, root: Uint8Array<ArrayBuffer>, secret = SECRET) {
  const verifier = ed25519Verifier(ORIGIN, await getPublicKeyAsync(secret));
  const text = formatCheckpoint({ origin: ORIGIN, size, root });
  const signature = await signAsync(new TextEncoder().encode(text), secret);
  const { name, keyId } = verifier;
  return {
    vkey: formatVkey(verifier),
    note: new TextDecoder().decode(formatNote({ text, signatures: [{ name, keyId, signature }] })),
  };
}

export async function logOpen(): Promise<Step> {
  const { vkey } = await signed(0, new Uint8Array(32));
  return [{ type: "log-open", origin: ORIGIN, vkey, signer: "noble", extractable: true }];
}

const CALL = { agent: AGENT, run: "r1", action: "call:add", resource: "tool:add", callDigest: "cd".repeat(32) };

/** A small log with most types of entry. */
export function scenario(policyDigest: string): Step[] {
  const program = AGENT.program;
  const drafts: [Draft, Attached?][] = [
    [{ type: "policy-load", policies: ["policy0"] }, { policy: POLICY }],
    [{ type: "policy-refused", textDigest: "00".repeat(32), message: "unexpected token at 1:3" }],
    [
      {
        type: "agent-spawn",
        agent: AGENT,
        limits: { fuel: 50e9, calls: 1000 },
        seed: 1,
        isolation: "opaque",
        machine: "wt1/1/1",
      },
    ],
    [{ type: "spawn-refused", name: "other", program, message: "not WebAssembly" }],
    [{ type: "run-start", agent: AGENT, run: "r1", args: ["in.txt", "é"], env: ["HOME"], startTime: 0 }],
    [
      { type: "intent", ...CALL, call: 0, decision: "allow", policies: ["policy0"], policyDigest },
      { input: { a: 1, b: 2.5 } },
    ],
    [{ type: "outcome", agent: AGENT, run: "r1", call: 0, intentOf: 6, status: "ok", error: null }, { output: 3.5 }],
    [
      {
        type: "denial",
        ...CALL,
        call: 1,
        action: "call:fetch",
        decision: "deny",
        reason: "no-permit",
        policies: [],
        errors: [],
        policyDigest,
      },
      { input: { url: "https://example.com/" } },
    ],
    [{ type: "intent", ...CALL, call: 2, decision: "allow", policies: ["policy0"], policyDigest }, { input: { a: 9 } }],
    [
      { type: "outcome", agent: AGENT, run: "r1", call: 2, intentOf: 9, status: "error", error: "tool-failed" },
      { output: null },
    ],
    [
      {
        type: "run-end",
        agent: AGENT,
        run: "r1",
        status: "exited",
        exitCode: 0,
        trap: null,
        limit: null,
        message: null,
        usage: { fuel: 12, wallMs: 3 },
        digest: "ef".repeat(32),
        untraced: "no run",
      },
    ],
    [{ type: "agent-close", agent: AGENT }],
  ];
  return drafts;
}
