/** Exports the log and verifies it as a stranger would: from the zip alone, with the code of `npx vak verify`. */
import { openBundle, type Report, type RunSummary, verify } from "../src/audit/index.ts";
import type { Kernel } from "../src/index.ts";
import { el, formatBytes } from "./dom.ts";
import { describeEnd } from "./ledger.ts";
import { finding, openSheet } from "./sheet.ts";

const MAX_FILE_BYTES = 2 ** 30;

export async function verifyLog(kernel: Kernel, tamper: boolean): Promise<void> {
  openSheet("Verification", el("p", "aside", "Exporting and verifying…"));
  const zip = await kernel.log.export();
  const bundle = await openBundle(zip);
  const files = new Map<string, Uint8Array>();
  for (const path of await bundle.paths()) {
    const bytes = await bundle.read(path, MAX_FILE_BYTES);
    if (bytes) files.set(path, bytes);
  }
  const flipped = tamper ? flipByte(files) : undefined;
  const report = await verify(files);
  openSheet("Verification", ...describeReport(report, { files: files.size, bytes: zip.size, flipped }));
}

interface Flipped {
  path: string;
  offset: number;
  before: number;
  after: number;
}

/** Flips the lowest bit of a random byte of a random file. */
function flipByte(files: Map<string, Uint8Array>): Flipped {
  const [path, original] = [...files].filter(([, bytes]) => bytes.length)[random(files.size)]!;
  const bytes = original.slice();
  const offset = random(bytes.length);
  const before = bytes[offset]!;
  bytes[offset] = before ^ 1;
  files.set(path, bytes);
  return { path, offset, before, after: before ^ 1 };
}

const random = (below: number): number => Math.floor(Math.random() * below);

function describeReport(
  report: Report,
  { files, bytes, flipped }: { files: number; bytes: number; flipped: Flipped | undefined },
): HTMLElement[] {
  const { ok, size, origin, root, problems, notChecked } = report;
  const verdict = el(
    "p",
    `verdict ${ok ? "good" : "bad"}`,
    el("strong", "", ok ? "The log verifies" : "The log does not verify"),
    el(
      "span",
      "",
      ok ? `${size} entries, one signed tree` : `${problems.length} ${plural("problem", problems.length)}`,
    ),
  );
  const parts: HTMLElement[] = [verdict];
  if (flipped) parts.push(describeFlip(flipped));
  if (!ok) {
    const list = el("ul", "findings", ...problems.map(({ where, message }) => finding("bad", capital(message), where)));
    parts.push(el("section", "", el("h3", "", "Problems"), list));
  } else {
    const checked = el(
      "ul",
      "findings",
      finding("good", "The checkpoint's signature", report.keys.join(", ")),
      finding("good", `All ${size} entries hash to its root`, root),
      finding("good", "Every intent comes before its outcome, and every run has a start and an end"),
      finding("good", "Every file matches the log", `${files} files, ${formatBytes(bytes)}`),
    );
    parts.push(el("section", "", el("h3", "", "What was checked"), checked));
  }
  if (notChecked.length) {
    const list = el("ul", "findings", ...notChecked.map((text) => finding("info", capital(text))));
    parts.push(el("section", "", el("h3", "", "What was not checked"), list));
  }
  if (ok) {
    const runs = el("ul", "runs", ...report.runs.slice(-8).reverse().map(describeRun));
    if (report.runs.length) parts.push(el("section", "", el("h3", "", "What happened, according to the log"), runs));
    parts.push(el("section", "", el("h3", "", "Origin of the log"), el("p", "origin", el("code", "", origin))));
  }
  return parts;
}

function describeFlip({ path, offset, before, after }: Flipped): HTMLElement {
  const hex = (byte: number) => byte.toString(16).padStart(2, "0");
  const text = ` changed from ${hex(before)} to ${hex(after)} before verification, only in this copy.`;
  return el("p", "flipped", el("strong", "", `Byte ${offset} of ${path}`), text);
}

function describeRun({ seq, agent, calls, end }: RunSummary): HTMLElement {
  const of = (decision: string) => calls.reduce((n, call) => n + (call.decision === decision ? call.count : 0), 0);
  const how = typeof end === "string" ? end : describeEnd(end);
  return el(
    "li",
    "",
    el("span", "", `Entry ${seq}: ${agent.name}, ${how}`),
    el("small", "", `${of("allow")} allowed, ${of("deny")} denied`),
  );
}

const plural = (word: string, n: number): string => (n === 1 ? word : `${word}s`);
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
