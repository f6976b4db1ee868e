/** Shows log entries in full, and proves in the page that each is in the tree with the signed root (RFC 6962). */
import { inclusionProof, leafHash, nodeHash, verifyInclusion } from "../src/audit/index.ts";
import type { Kernel, LogRecord } from "../src/index.ts";
import { el } from "./dom.ts";
import { finding, openSheet, prettyJson } from "./sheet.ts";
import { readValues } from "./values.ts";

type Hash = Uint8Array<ArrayBuffer>;

interface Proof {
  leaf: Hash;
  path: Hash[];
  size: number;
  root: string;
  holds: boolean;
}

export async function openEntries(kernel: Kernel, records: readonly LogRecord[]): Promise<void> {
  const waiting = el("p", "aside", "Reading the tree…");
  openSheet(titleOf(records), ...records.map(entryPart), waiting);
  const [values, proofs] = await Promise.all([
    readValues(
      kernel.log,
      records.map(({ seq }) => seq),
    ),
    prove(kernel, records),
  ]);
  const parts = records.flatMap((record, i) => [
    entryPart(record),
    ...valuePart(record, values.get(record.seq)),
    proofPart(record, proofs[i]!),
  ]);
  openSheet(titleOf(records), ...parts);
}

function titleOf(records: readonly LogRecord[]): string {
  const seqs = records.map(({ seq }) => seq);
  return seqs.length === 1 ? `Entry ${seqs[0]}` : `Entries ${seqs.join(" and ")}`;
}

function entryPart({ seq, entry }: LogRecord): HTMLElement {
  const time = el("time", "", new Date(entry.time).toLocaleString());
  time.dateTime = new Date(entry.time).toISOString();
  return el(
    "section",
    "",
    el("h3", "", `${seq}: ${entry.type}`),
    el("p", "aside", "Written ", time, ", by this device's clock"),
    prettyJson(entry),
  );
}

function valuePart({ entry }: LogRecord, value: unknown): HTMLElement[] {
  if (value === undefined) return [];
  const what = entry.type === "outcome" ? "The answer" : "The input";
  const why = "The entry has only a salted digest of it. The value is kept beside the log, where it can be deleted.";
  return [el("section", "", el("h4", "", what), el("p", "aside", why), prettyJson(value))];
}

function proofPart({ seq }: LogRecord, { leaf, path, size, root, holds }: Proof): HTMLElement {
  const steps = el("ol", "path", el("li", "leaf", el("span", "", "leaf"), el("code", "", hex(leaf))));
  for (const hash of path) steps.append(el("li", "", el("span", "", "with"), el("code", "", hex(hash))));
  steps.append(el("li", "root", el("span", "", "root"), el("code", "", hex(fromBase64(root)))));
  const verdict = holds
    ? finding("good", `Leaf ${seq} hashes up to the signed root of ${size} entries`, "just computed in this page")
    : finding("bad", `Leaf ${seq} does not lead to the signed root of ${size} entries`);
  return el("section", "", el("h4", "", "Its place in the tree"), el("ul", "findings", verdict), steps);
}

/** Inclusion proofs under a fresh checkpoint (RFC 6962 §2.1.1), made from every entry of the log and then checked. */
async function prove(kernel: Kernel, records: readonly LogRecord[]): Promise<Proof[]> {
  const { size, root } = await kernel.log.checkpoint();
  const leaves: Hash[] = [];
  for await (const { bytes } of kernel.log.entries()) {
    if (leaves.push(leafHash(bytes)) === size) break;
  }
  const subtree = (level: number, index: number): Hash =>
    level === 0 ? leaves[index]! : nodeHash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1));
  return Promise.all(
    records.map(async ({ seq, bytes }) => {
      const leaf = leafHash(bytes);
      const path = await inclusionProof(seq, size, subtree);
      return { leaf, path, size, root, holds: verifyInclusion(seq, size, leaf, path, fromBase64(root)) };
    }),
  );
}

const fromBase64 = (text: string): Hash => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
