import { toBase64 } from "../base/base64.ts";
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { sha256Hex } from "../base/sha256.ts";
import { fromUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { parseCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { decodeEntries } from "../tlog/entry-bundle.ts";
import { HASH_BYTES, leafHash, RightEdge } from "../tlog/merkle.ts";
import { formatVkey, type Verifier } from "../tlog/note.ts";
import { cosignedAt, MAX_NOTE_BYTES, parseNote, parseVkey, verifyNote } from "../tlog/note-reading.ts";
import { MAX_ENTRY_BYTES, TILE_HEIGHT, TILE_WIDTH } from "../tlog/sizes.ts";
import { tilePath } from "../tlog/tiles.ts";
import {
  CHECKPOINT_PATH,
  KEYS_PATH,
  MAX_PROGRAM_BYTES,
  policyPath,
  programPath,
  rotationPath,
  valuePath,
  valueSeq,
} from "./bundle.ts";
import { type Entry, type EntryType, parseEntry } from "./entry.ts";
import { Order } from "./order.ts";
import { committedValue, MAX_VALUE_BYTES, type ValueKind } from "./value.ts";
import { openValue } from "./value-opening.ts";
import type { AgentDeclassify } from "./vocabulary/agent.ts";
import type { Denial, Intent } from "./vocabulary/call.ts";
import type { AgentRef, Digest } from "./vocabulary/common.ts";
import type { KeyRotation } from "./vocabulary/log.ts";
import type { PolicyLoad } from "./vocabulary/policy.ts";
import type { RunEnd } from "./vocabulary/run.ts";
import { type Bundle, isBundlePath } from "./zip.ts";

export interface VerifyOptions {
  /** Verifier keys (vkey) that the log must be signed by. Without, the bundle's own `keys.txt` is believed. */
  keys?: readonly string[];
  /** Verifier keys (vkey) of witnesses, each of which must have cosigned the checkpoint. */
  witnesses?: readonly string[];
}

export interface Problem {
  /** The file or the entry at fault. */
  where: string;
  message: string;
}

/** Calls of a run that are alike. */
export interface CallSummary {
  decision: "allow" | "deny";
  action: string;
  resource: string;
  policies: string[];
  /** Why they were denied. */
  reason?: string;
  /** Who approved them, where a person did. */
  approvedBy?: string;
  count: number;
}

export interface RunSummary {
  run: string;
  agent: AgentRef;
  /** `seq` of its run-start. */
  seq: number;
  calls: CallSummary[];
  outcomes: { ok: number; error: number; unknown: number };
  /** How it ended; `interrupted` by a recovery, or `open`: it had not ended when the log was exported. */
  end: RunEnd | "interrupted" | "open";
}

export interface Report {
  /** Nothing is wrong. What could not be checked is in {@link notChecked}. */
  ok: boolean;
  origin: string;
  size: number;
  /** Root of the tree, base64. */
  root: string;
  /** The keys of the log (vkey) that signed the checkpoint. */
  keys: string[];
  /** The given witnesses (vkey) that cosigned it, and when (ms since 1970). */
  witnesses: { key: string; time: number }[];
  entries: Partial<Record<EntryType, number>>;
  agents: AgentRef[];
  runs: RunSummary[];
  /** What was declassified, by whom and why. */
  declassified: AgentDeclassify[];
  /** `seq` of the entries whose value was erased, as the log says. */
  erased: number[];
  /** `seq` of the other entries whose value is not in the bundle. */
  missing: number[];
  /** How many values are there without their secrets: those were never stored. */
  withheld: number;
  problems: Problem[];
  notChecked: string[];
}

/** Problems after which verification stops: the bundle is refused, and more of them tell nobody more. */
const MAX_PROBLEMS = 100;
const MAX_KEYS_BYTES = 65_536;
const MAX_POLICY_BYTES = 16 * 2 ** 20;
const MAX_BUNDLE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2);

/** Thrown within this file when there is no use in going on; the problem is in the report already. */
class Stop extends Error {}

/**
 * Verifies a bundle. What is wrong with it is in the report, never thrown.
 *
 * @throws VakError `invalid-argument` when a key in the options is not one
 * @example
 * const report = await verify(await openBundle(bytes), { keys: [vkey] });
 * if (!report.ok) console.error(report.problems);
 */
export async function verify(
  bundle: Bundle | ReadonlyMap<string, Uint8Array>,
  options: VerifyOptions = {},
): Promise<Report> {
  const pinned = options.keys?.map((key) => readKey(key, false));
  const witnesses = options.witnesses?.map((key) => readKey(key, true)) ?? [];
  const check = new Verification(isMap(bundle) ? fromMap(bundle) : bundle);
  try {
    await check.run(pinned, witnesses);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  check.report.ok = check.report.problems.length === 0;
  return check.report;
}

function readKey(key: string, cosigns: boolean): Verifier {
  let verifier: Verifier | undefined;
  let cause: unknown;
  try {
    verifier = parseVkey(key);
  } catch (error) {
    cause = error;
  }
  if (verifier?.cosigns === cosigns) return verifier;
  const what = cosigns ? "a witness, of type 0x04" : "a log";
  const why = cause === undefined ? `It is not the key of ${what}.` : reason(cause);
  throw new VakError("invalid-argument", `The key to verify with cannot be read. ${why}`, { cause });
}

function isMap(bundle: Bundle | ReadonlyMap<string, Uint8Array>): bundle is ReadonlyMap<string, Uint8Array> {
  return bundle instanceof Map;
}

/** As {@link Bundle}; what is in memory need not be waited for. */
interface Source {
  paths(): ReturnType<Bundle["paths"]> | Iterable<string>;
  read(path: string, maxBytes: number): ReturnType<Bundle["read"]> | Uint8Array | undefined;
}

function fromMap(files: ReadonlyMap<string, Uint8Array>): Source {
  return {
    paths: () => files.keys(),
    read(path, maxBytes) {
      const bytes = files.get(path);
      if (bytes && bytes.length > maxBytes) throw new VakError("invalid-bundle", `It has more than ${maxBytes} bytes.`);
      return bytes;
    },
  };
}

class Verification {
  readonly report: Report = {
    ok: false,
    origin: "",
    size: 0,
    root: "",
    keys: [],
    witnesses: [],
    entries: {},
    agents: [],
    runs: [],
    declassified: [],
    erased: [],
    missing: [],
    withheld: 0,
    problems: [],
    notChecked: [],
  };
  readonly #bundle: Source;
  /** Files that nothing in the log has spoken of yet. */
  readonly #unread = new Set<string>();
  /** The same of values, by the `seq` of their entries: they are many. */
  readonly #unreadValues = new Set<number>();
  readonly #order = new Order();
  readonly #tree = new RightEdge();
  /** Per level, the hashes of the tile that is being filled, and its index. */
  readonly #tiles: { index: number; hashes: Bytes[] }[] = [];
  readonly #full: { level: number; index: number; hashes: Bytes[] }[] = [];
  /** Entries whose value is in the bundle, or is not: what the log says of them may come later. */
  readonly #values = new Set<number>();
  readonly #missing = new Set<number>();
  /** Values that the log says were erased, and that are here: from an export before that. */
  #stillThere = 0;
  /** Policies whose files were checked. */
  readonly #policies = new Set<string>();
  /** Who granted it, by the `seq` of the approval. */
  readonly #approvers = new Map<number, string>();
  /** Runs that have not ended, with their calls by what they have in common. */
  readonly #runs = new Map<string, { summary: RunSummary; calls: Map<string, CallSummary> }>();
  /** The keys (vkey) that the log says have signed it, in order; the last is in force. */
  readonly #keys: string[] = [];
  /** Where the log names the key in force. */
  #keyNamed = "";
  /** False once an entry did not stand where it may: of those behind it nothing certain can be said. */
  #ordered = true;

  constructor(bundle: Source) {
    this.#bundle = bundle;
  }

  async run(pinned: readonly Verifier[] | undefined, witnesses: readonly Verifier[]): Promise<void> {
    for (const path of await this.#bundle.paths()) {
      const seq = valueSeq(path);
      if (seq !== undefined) this.#unreadValues.add(seq);
      else if (isBundlePath(path)) this.#unread.add(path);
      else this.#problem(JSON.stringify(path), "this is not a path that a bundle may hold");
    }
    const { head, signers, carried } = await this.#checkpoint(pinned, witnesses);
    for (let index = 0; index * TILE_WIDTH < head.size; index++) {
      await this.#entryBundle(index, Math.min(TILE_WIDTH, head.size - index * TILE_WIDTH), head);
    }
    for (const [level, { index, hashes }] of this.#tiles.entries()) {
      if (hashes.length > 0) await this.#hashTile(level, index, hashes);
    }
    if (!equalBytes(this.#tree.root(), head.root)) {
      this.#problem(CHECKPOINT_PATH, "its root is not the root of the entries");
    }
    this.#checkKeys(pinned, signers, carried);
    const unread = [...this.#unread, ...Array.from(this.#unreadValues, valuePath)];
    for (const path of unread) this.#problem(path, "nothing in the log speaks of this file");
    this.report.missing = [...this.#missing];
    const { erased, missing, withheld } = this.report;
    const { notChecked } = this.report;
    const say = (count: number, one: string, many: string) => {
      if (count > 0) notChecked.push(count === 1 ? `1 ${one}` : `${count} ${many}`);
    };
    say(erased.length, "value was erased, as the log says", "values were erased, as the log says");
    say(
      this.#stillThere,
      "value is here that the log says was erased",
      "values are here that the log says were erased",
    );
    const why = "not in the bundle, and the log does not say why";
    say(missing.length, `value is ${why}`, `values are ${why}`);
    say(withheld, "value was kept without its secrets", "values were kept without their secrets");
    const { runs, intents } = this.#order.openCounts;
    say(runs, "run had not ended when the log was signed", "runs had not ended when the log was signed");
    const yet = "had no outcome yet when the log was signed";
    say(intents, `call ${yet}`, `calls ${yet}`);
  }

  #problem(where: string, message: string): void {
    this.report.problems.push({ where, message });
    if (this.report.problems.length >= MAX_PROBLEMS)
      this.#stop("verification", "stopped here: there may be more problems");
  }

  #stop(where: string, message: string): never {
    this.report.problems.push({ where, message });
    throw new Stop();
  }

  async #read(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
    this.#unread.delete(path);
    try {
      return await this.#bundle.read(path, maxBytes);
    } catch (error) {
      this.#problem(path, reason(error));
      return undefined;
    }
  }

  /** As {@link #read}, for a file that must be there. */
  async #require(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const there = this.#unread.has(path);
    const bytes = await this.#read(path, maxBytes);
    if (!bytes && !there) this.#problem(path, "the file is missing");
    return bytes;
  }

  /**
   * Whether it was signed by whom the log says, and that is a key which is known: at first hand, or because one that is
   * known has handed over to it.
   */
  #checkKeys(pinned: readonly Verifier[] | undefined, signers: readonly string[], carried: readonly string[]): void {
    const inForce = this.#keys.at(-1);
    if (inForce === undefined) {
      // An empty log names no key.
      for (const key of carried)
        if (!signers.includes(key)) this.#problem(KEYS_PATH, `the checkpoint is not signed by ${key}`);
      return;
    }
    if (!signers.includes(inForce)) {
      this.#problem(this.#keyNamed, "the checkpoint is not signed by the key that it names");
    }
    for (const key of carried) {
      if (!this.#keys.includes(key)) this.#problem(KEYS_PATH, `nothing in the log speaks of the key ${key}`);
    }
    for (const key of this.#keys) if (!carried.includes(key)) this.#problem(KEYS_PATH, `the key ${key} is missing`);
    if (pinned && !pinned.some((key) => this.#keys.includes(formatVkey(key)))) {
      this.#problem(CHECKPOINT_PATH, "No signature is by a known key.");
    }
  }

  async #checkpoint(
    pinned: readonly Verifier[] | undefined,
    witnesses: readonly Verifier[],
  ): Promise<{ head: TreeHead; signers: string[]; carried: string[] }> {
    const keysFile = await this.#require(KEYS_PATH, MAX_KEYS_BYTES);
    const noteFile = await this.#require(CHECKPOINT_PATH, MAX_NOTE_BYTES);
    if (!keysFile || !noteFile) throw new Stop();
    let carried: Verifier[];
    try {
      const text = fromUtf8(keysFile);
      if (!text.endsWith("\n")) throw new VakError("invalid-bundle", "it does not end with a newline");
      carried = text.slice(0, -1).split("\n").map(parseVkey);
      if (new Set(carried.map(formatVkey)).size !== carried.length) {
        throw new VakError("invalid-bundle", "it holds a key twice");
      }
      if (carried.some(({ cosigns }) => cosigns)) throw new VakError("invalid-bundle", "it holds the key of a witness");
    } catch (error) {
      this.#stop(KEYS_PATH, reason(error));
    }
    let head: TreeHead;
    let signers: Verifier[];
    try {
      const note = parseNote(noteFile);
      head = parseCheckpoint(note.text);
      const listed = carried.map(formatVkey);
      const own = new Map([...carried, ...(pinned ?? [])].map((key) => [formatVkey(key), key]));
      const all = await verifyNote(note, [...own.values(), ...witnesses]);
      signers = all.filter(({ cosigns, name }) => !cosigns && name === head.origin);
      // A key that is known may have handed over to the one that signed: the log will have to say so.
      const known = pinned?.map(formatVkey) ?? listed;
      const candidates = [...signers.map(formatVkey), ...listed];
      if (signers.length === 0 || !known.some((key) => candidates.includes(key))) {
        throw new VakError("invalid-bundle", "No signature is by a known key.");
      }
      for (const witness of witnesses) {
        const line = note.signatures.find(
          ({ name, keyId }) => name === witness.name && equalBytes(keyId, witness.keyId),
        );
        if (!line) throw new VakError("invalid-bundle", `It is not cosigned by ${formatVkey(witness)}.`);
        this.report.witnesses.push({ key: formatVkey(witness), time: Number(cosignedAt(line.signature)) * 1000 });
      }
      const ignored = note.signatures.length - all.length;
      if (ignored === 1) this.report.notChecked.push("1 signature of the checkpoint is by a key that was not given");
      if (ignored > 1)
        this.report.notChecked.push(`${ignored} signatures of the checkpoint are by keys that were not given`);
    } catch (error) {
      this.#stop(CHECKPOINT_PATH, reason(error));
    }
    if (!pinned) {
      this.report.notChecked.push(
        "the key came with the bundle: it proves that the log is of one piece, not whose it is. Give the key that you know",
      );
    }
    this.report.origin = head.origin;
    this.report.size = head.size;
    this.report.root = toBase64(head.root);
    this.report.keys = signers.map(formatVkey);
    return { head, signers: this.report.keys, carried: carried.map(formatVkey) };
  }

  async #entryBundle(index: number, width: number, head: TreeHead): Promise<void> {
    const path = tilePath({ level: "entries", index, width });
    const bytes = await this.#require(path, MAX_BUNDLE_BYTES);
    if (!bytes) throw new Stop();
    let entries: Uint8Array[];
    try {
      entries = decodeEntries(bytes, width);
    } catch (error) {
      this.#stop(path, reason(error));
    }
    for (const [i, entryBytes] of entries.entries()) {
      const seq = index * TILE_WIDTH + i;
      this.#tree.append(leafHash(entryBytes), (level, hash) => {
        if (level % TILE_HEIGHT === 0) this.#addHash(level / TILE_HEIGHT, hash, seq);
      });
      if (this.#full.length > 0) {
        for (const { level, index, hashes } of this.#full.splice(0)) await this.#hashTile(level, index, hashes);
      }
      const reading = this.#entry(seq, entryBytes, path, head);
      if (reading) await reading;
    }
  }

  #addHash(level: number, hash: Bytes, seq: number): void {
    this.#tiles[level] ??= { index: 0, hashes: [] };
    const tile = this.#tiles[level];
    tile.index = Math.floor(seq / TILE_WIDTH ** (level + 1));
    tile.hashes.push(hash);
    if (tile.hashes.length === TILE_WIDTH) {
      this.#full.push({ level, index: tile.index, hashes: tile.hashes });
      tile.hashes = [];
    }
  }

  /** Compares a tile of the bundle with the hashes that the entries have. */
  async #hashTile(level: number, index: number, hashes: readonly Bytes[]): Promise<void> {
    const path = tilePath({ level, index, width: hashes.length });
    const bytes = await this.#require(path, TILE_WIDTH * HASH_BYTES);
    if (!bytes) return;
    if (bytes.length !== hashes.length * HASH_BYTES) {
      this.#problem(path, `it has ${bytes.length} bytes, not ${hashes.length * HASH_BYTES}`);
      return;
    }
    for (const [i, hash] of hashes.entries()) {
      if (holds(bytes, i * HASH_BYTES, hash)) continue;
      const what =
        level === 0 ? `entry ${index * TILE_WIDTH + i}` : `tile ${index * TILE_WIDTH + i} of level ${level - 1}`;
      this.#problem(path, `its hash ${i} is not that of ${what}: one of the two was changed`);
    }
  }

  /** Waits for nothing where there is nothing to read: there are many entries. */
  #entry(seq: number, bytes: Uint8Array, path: string, head: TreeHead): Promise<void> | undefined {
    const where = `entry ${seq} (${path})`;
    let entry: Entry;
    try {
      entry = parseEntry(bytes);
    } catch (error) {
      this.#ordered = false;
      this.#problem(where, reason(error));
      return undefined;
    }
    if (this.#ordered) {
      try {
        this.#order.accept(entry);
      } catch (error) {
        this.#ordered = false;
        this.#problem(where, reason(error));
      }
    }
    this.report.entries[entry.type] = (this.report.entries[entry.type] ?? 0) + 1;
    if (entry.type === "log-open") {
      if (entry.origin !== head.origin) this.#problem(where, "its origin is not the checkpoint's");
      this.#keys.push(entry.vkey);
      this.#keyNamed = where;
    }
    const reading = this.#beside(entry, where);
    if (entry.type === "erase") this.#erase(entry.erases, where);
    if (this.#ordered) this.#summarise(entry);
    return reading;
  }

  /** Checks what the bundle has of what an entry speaks of. */
  #beside(entry: Entry, where: string): Promise<void> | undefined {
    if (entry.type === "key-rotation") return this.#rotation(entry, where);
    if (entry.type === "policy-load") return this.#policiesOf(entry);
    if (entry.type === "agent-spawn") return this.#program(entry.agent.program);
    const committed = committedValue(entry);
    if (!committed) return undefined;
    if (!this.#unreadValues.delete(entry.seq)) {
      this.#missing.add(entry.seq);
      return undefined;
    }
    this.#values.add(entry.seq);
    return this.#value(valuePath(entry.seq), committed);
  }

  /** A change of key stands when both keys have signed the tree up to the entry that says so. */
  async #rotation({ seq, previous, vkey }: KeyRotation, where: string): Promise<void> {
    if (previous !== this.#keys.at(-1)) this.#problem(where, "previous is not the key that signed until then");
    this.#keys.push(vkey);
    this.#keyNamed = where;
    const path = rotationPath(seq);
    const file = await this.#require(path, MAX_NOTE_BYTES);
    if (!file) return;
    try {
      const note = parseNote(file);
      const { origin, size, root } = parseCheckpoint(note.text);
      const signers = await verifyNote(note, [parseVkey(previous), parseVkey(vkey)]);
      if (signers.length !== 2) throw new VakError("invalid-bundle", "it is not signed by both keys");
      if (origin !== this.report.origin) throw new VakError("invalid-bundle", "its origin is not the checkpoint's");
      if (size !== seq + 1 || !equalBytes(root, this.#tree.root())) {
        throw new VakError("invalid-bundle", `it is not a checkpoint of the first ${seq + 1} entries`);
      }
    } catch (error) {
      this.#problem(path, reason(error));
    }
  }

  async #policiesOf({ policyDigest, baseDigest }: PolicyLoad): Promise<void> {
    await this.#policy(policyDigest);
    if (baseDigest !== undefined) await this.#policy(baseDigest, true);
  }

  async #policy(digest: string, base = false): Promise<void> {
    if (this.#policies.has(digest)) return;
    this.#policies.add(digest);
    const path = policyPath(digest, base || this.#unread.has(policyPath(digest, true)));
    const text = await this.#require(path, MAX_POLICY_BYTES);
    if (text && sha256Hex(text) !== digest) this.#problem(path, "its text is not the policy of that digest");
  }

  /** A program need not be in the bundle. */
  async #program(digest: string): Promise<void> {
    const path = programPath(digest);
    if (!this.#unread.has(path)) return;
    const bytes = await this.#read(path, MAX_PROGRAM_BYTES);
    if (bytes && sha256Hex(bytes) !== digest) this.#problem(path, "it is not the program of that digest");
  }

  #value(path: string, { kind, digest }: { kind: ValueKind; digest: Digest }): Promise<void> | undefined {
    const open = (file: Uint8Array | undefined) => {
      if (file && openValue(file, kind, digest).withheld.length > 0) this.report.withheld++;
    };
    const refuse = (error: unknown) => this.#problem(path, reason(error));
    try {
      const file = this.#bundle.read(path, MAX_VALUE_BYTES);
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
    else this.#problem(where, `entry ${seq} has no value that it could erase, or none any more`);
  }

  #summarise(entry: Entry): void {
    switch (entry.type) {
      case "agent-spawn":
        this.report.agents.push(entry.agent);
        break;
      case "run-start": {
        const { run, agent, seq } = entry;
        const summary: RunSummary = {
          run,
          agent,
          seq,
          calls: [],
          outcomes: { ok: 0, error: 0, unknown: 0 },
          end: "open",
        };
        this.#runs.set(run, { summary, calls: new Map() });
        this.report.runs.push(summary);
        break;
      }
      case "agent-declassify":
        this.report.declassified.push(entry);
        break;
      case "approval":
        if (entry.verdict === "granted" && entry.by !== null) this.#approvers.set(entry.seq, entry.by);
        break;
      case "intent":
      case "denial":
        this.#countCall(entry);
        break;
      case "outcome":
        this.#runs.get(entry.run)!.summary.outcomes[entry.status]++;
        break;
      case "run-end":
        this.#runs.get(entry.run)!.summary.end = entry;
        this.#runs.delete(entry.run);
        break;
      case "recovery":
        for (const { summary } of this.#runs.values()) summary.end = "interrupted";
        this.#runs.clear();
        break;
    }
  }

  #countCall(entry: Intent | Denial): void {
    const { decision, action, resource, policies } = entry;
    const approvedBy = entry.type === "intent" && this.#approvers.get(entry.approval ?? -1);
    const call = {
      ...{ decision, action, resource, policies },
      ...(entry.type === "denial" && { reason: entry.reason }),
      ...(approvedBy && { approvedBy }),
    };
    const { summary, calls } = this.#runs.get(entry.run)!;
    const key = JSON.stringify(call);
    const alike = calls.get(key);
    if (alike) {
      alike.count++;
      return;
    }
    const first = { ...call, count: 1 };
    calls.set(key, first);
    summary.calls.push(first);
  }
}

function holds(bytes: Uint8Array, at: number, hash: Bytes): boolean {
  for (let i = 0; i < HASH_BYTES; i++) if (bytes[at + i] !== hash[i]) return false;
  return true;
}

function reason(error: unknown): string {
  if (!(error instanceof VakError)) throw error;
  return error.message;
}
