/** Verifies a bundle: who signed it, every entry, their order, and every file beside them. */
import { toBase64 } from "../base/base64.ts";
import { equalBytes } from "../base/bytes.ts";
import { sha256Hex } from "../base/sha256.ts";
import { decodeEntries, MAX_ENTRY_BUNDLE_BYTES } from "../tlog/entry-bundle.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { tilePath } from "../tlog/tiles.ts";
import type { Bundle } from "./bundle.ts";
import { CHECKPOINT_PATH, MAX_PROGRAM_BYTES, policyPath, programPath, valuePath } from "./bundle.ts";
import { type Entry, parseEntry } from "./entry.ts";
import { Order } from "./order.ts";
import { committedValue, MAX_VALUE_BYTES, type ValueKind } from "./value.ts";
import { openValue } from "./value-opening.ts";
import { Files, type Source, sourceOf } from "./verification/files.ts";
import { Findings, Stop } from "./verification/findings.ts";
import { KeyCheck, type KnownKeys, readKey } from "./verification/keys.ts";
import { emptyReport, type Report } from "./verification/report.ts";
import { Summaries } from "./verification/summaries.ts";
import { TileCheck } from "./verification/tiles.ts";
import type { Digest } from "./vocabulary/common.ts";
import type { PolicyLoad } from "./vocabulary/policy.ts";

export interface VerifyOptions {
  /** Verifier keys (vkey) that the log must be signed by. Without them the bundle's own `keys.txt` is believed. */
  keys?: readonly string[];
  /** Verifier keys (vkey) of witnesses, each of which must have cosigned the checkpoint. */
  witnesses?: readonly string[];
}

const MAX_POLICY_BYTES = 16 * 2 ** 20;

/**
 * Verifies a bundle. What is wrong with it is in the report, never thrown.
 *
 * @throws VakError `invalid-argument` when one of the given keys is not a key
 * @example
 * const report = await verify(await openBundle(bytes), { keys: [vkey] });
 * if (!report.ok) console.error(report.problems);
 */
export async function verify(
  bundle: Bundle | ReadonlyMap<string, Uint8Array>,
  options: VerifyOptions = {},
): Promise<Report> {
  const pinned = options.keys?.map((key) => readKey(key, false));
  // Given twice, a witness is still one.
  const witnesses = [...new Set(options.witnesses)].map((key) => readKey(key, true));
  const verification = new Verification(sourceOf(bundle), { pinned, witnesses });
  const { report } = verification;
  try {
    await verification.run();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  report.ok = report.problems.length === 0;
  return report;
}

class Verification {
  readonly report = emptyReport();
  readonly #findings: Findings = new Findings(this.report.problems);
  readonly #files: Files;
  readonly #keys: KeyCheck;
  readonly #tiles: TileCheck;
  readonly #summaries = new Summaries(this.report);
  readonly #order = new Order();
  /** False once an entry was out of order: nothing certain can be said about those after it. */
  #ordered = true;
  /** Entries whose value is in the bundle, or is not: what the log says about it may come later. */
  readonly #values = new Set<number>();
  readonly #missing = new Set<number>();
  /** Values that the log says were erased but that are here: they come from an earlier export. */
  #stillThere = 0;
  /** Digests of the policies whose files were checked. */
  readonly #policies = new Set<string>();

  constructor(source: Source, known: KnownKeys) {
    this.#files = new Files(source, this.#findings);
    this.#keys = new KeyCheck(this.#files, this.#findings, this.report, known);
    this.#tiles = new TileCheck(this.#files, this.#findings);
  }

  /** @throws Stop when a problem leaves nothing more to verify */
  async run(): Promise<void> {
    await this.#files.list();
    const head = await this.#keys.checkpoint();
    this.report.origin = head.origin;
    this.report.size = head.size;
    this.report.root = toBase64(head.root);
    for (let index = 0; index * TILE_WIDTH < head.size; index++) {
      await this.#entryBundle(index, Math.min(TILE_WIDTH, head.size - index * TILE_WIDTH));
    }
    await this.#tiles.end();
    if (!equalBytes(this.#tiles.tree.root(), head.root)) {
      this.#findings.add(CHECKPOINT_PATH, "its root is not the root of the entries");
    }
    this.#keys.inForce();
    for (const path of this.#files.unread()) this.#findings.add(path, "the log does not mention this file");
    this.report.missing = [...this.#missing];
    this.#sayWhatWasNotChecked();
  }

  async #entryBundle(index: number, width: number): Promise<void> {
    const path = tilePath({ level: "entries", index, width });
    const bytes = await this.#files.require(path, MAX_ENTRY_BUNDLE_BYTES);
    if (!bytes) throw new Stop();
    let entries: Uint8Array[];
    try {
      entries = decodeEntries(bytes, width);
    } catch (error) {
      this.#findings.stop(path, error);
    }
    // There are many entries: await only what has to be read.
    for (const [i, entryBytes] of entries.entries()) {
      const seq = index * TILE_WIDTH + i;
      const comparing = this.#tiles.append(seq, entryBytes);
      if (comparing) await comparing;
      const reading = this.#entry(entryBytes, `entry ${seq} (${path})`);
      if (reading) await reading;
    }
  }

  #entry(bytes: Uint8Array, where: string): Promise<void> | undefined {
    let entry: Entry;
    try {
      entry = parseEntry(bytes);
    } catch (error) {
      this.#ordered = false;
      this.#findings.addError(where, error);
      return undefined;
    }
    if (this.#ordered) {
      try {
        this.#order.accept(entry);
      } catch (error) {
        this.#ordered = false;
        this.#findings.addError(where, error);
      }
    }
    this.report.entries[entry.type] = (this.report.entries[entry.type] ?? 0) + 1;
    if (entry.type === "log-open") this.#keys.opened(entry, where);
    const reading = this.#beside(entry, where);
    if (entry.type === "erase") this.#erase(entry.erases, where);
    if (this.#ordered) this.#summaries.add(entry);
    return reading;
  }

  /** Checks the files that an entry mentions. */
  #beside(entry: Entry, where: string): Promise<void> | undefined {
    if (entry.type === "key-rotation") return this.#keys.rotated(entry, where, this.#tiles.tree);
    if (entry.type === "policy-load") return this.#policiesOf(entry);
    if (entry.type === "agent-spawn") return this.#program(entry.agent.program);
    const committed = committedValue(entry);
    if (!committed) return undefined;
    if (!this.#files.takeValue(entry.seq)) {
      this.#missing.add(entry.seq);
      return undefined;
    }
    this.#values.add(entry.seq);
    return this.#value(entry.seq, committed);
  }

  async #policiesOf({ policyDigest, baseDigest }: PolicyLoad): Promise<void> {
    await this.#policy(policyDigest);
    if (baseDigest !== undefined) await this.#policy(baseDigest, true);
  }

  async #policy(digest: string, base = false): Promise<void> {
    if (this.#policies.has(digest)) return;
    this.#policies.add(digest);
    const path = policyPath(digest, base || this.#files.has(policyPath(digest, true)));
    const text = await this.#files.require(path, MAX_POLICY_BYTES);
    if (text && sha256Hex(text) !== digest) this.#findings.add(path, "its text does not have that digest");
  }

  /** A program need not be in the bundle. */
  async #program(digest: string): Promise<void> {
    const path = programPath(digest);
    if (!this.#files.has(path)) return;
    const bytes = await this.#files.read(path, MAX_PROGRAM_BYTES);
    if (bytes && sha256Hex(bytes) !== digest) this.#findings.add(path, "the program does not have that digest");
  }

  #value(seq: number, { kind, digest }: { kind: ValueKind; digest: Digest }): Promise<void> | undefined {
    const open = (file: Uint8Array | undefined) => {
      if (file && openValue(file, kind, digest).withheld.length > 0) this.report.withheld++;
    };
    const refuse = (error: unknown) => this.#findings.addError(valuePath(seq), error);
    try {
      const file = this.#files.readValue(seq, MAX_VALUE_BYTES);
      if (file instanceof Promise) return file.then(open).catch(refuse);
      open(file);
    } catch (error) {
      refuse(error);
    }
    return undefined;
  }

  #erase(seq: number, where: string): void {
    if (this.#missing.delete(seq)) this.report.erased.push(seq);
    else if (this.#values.delete(seq)) this.#stillThere++;
    else this.#findings.add(where, `entry ${seq} has no value to erase, or it was erased already`);
  }

  #sayWhatWasNotChecked(): void {
    const { erased, missing, withheld, notChecked } = this.report;
    const say = (count: number, one: string, many: string) => {
      if (count > 0) notChecked.push(count === 1 ? `1 ${one}` : `${count} ${many}`);
    };
    say(erased.length, "value was erased, as the log says", "values were erased, as the log says");
    const still = "in the bundle, though the log says";
    say(this.#stillThere, `value is ${still} that it was erased`, `values are ${still} that they were erased`);
    const why = "not in the bundle, and the log does not say why";
    say(missing.length, `value is ${why}`, `values are ${why}`);
    say(withheld, "value was kept without its secrets", "values were kept without their secrets");
    const { runs, intents } = this.#order.openCounts;
    say(runs, "run had not ended when the log was signed", "runs had not ended when the log was signed");
    const yet = "had no outcome yet when the log was signed";
    say(intents, `call ${yet}`, `calls ${yet}`);
  }
}
