/** Who signed a bundle's checkpoint, and whether that is who the log says: keys.txt, signatures, changes of key. */
import { equalBytes } from "../../base/bytes.ts";
import { clip } from "../../base/clip.ts";
import { fromUtf8 } from "../../base/utf8.ts";
import { VakError } from "../../errors.ts";
import { parseCheckpoint, type TreeHead } from "../../tlog/checkpoint.ts";
import type { RightEdge } from "../../tlog/merkle.ts";
import { formatVkey, type Note, type Verifier } from "../../tlog/note.ts";
import { cosignedAt, MAX_NOTE_BYTES, NO_KNOWN_KEY, parseNote, parseVkey, verifyNote } from "../../tlog/note-reading.ts";
import { CHECKPOINT_PATH, KEYS_PATH, rotationPath } from "../bundle.ts";
import type { KeyRotation, LogOpen } from "../vocabulary/log.ts";
import type { Files } from "./files.ts";
import { type Findings, reasonOf, Stop } from "./findings.ts";
import type { Report } from "./report.ts";

/** The longest keys.txt that is read, bytes. */
const MAX_KEYS_BYTES = 65_536;
/** The latest time of a `Date`, ms since 1970. */
const MAX_TIME = 8.64e15;

const bad = (message: string): VakError => new VakError("invalid-bundle", message);

/** Keys that the caller knows. */
export interface KnownKeys {
  /** Keys of the log, or undefined: then those in the bundle are believed. */
  pinned: readonly Verifier[] | undefined;
  /** Each of these must have cosigned. */
  witnesses: readonly Verifier[];
}

/**
 * Reads a key that the caller gave.
 *
 * @throws VakError `invalid-argument`
 */
export function readKey(key: string, cosigns: boolean): Verifier {
  let verifier: Verifier | undefined;
  let cause: unknown;
  try {
    verifier = parseVkey(key);
  } catch (error) {
    cause = error;
  }
  if (verifier?.cosigns === cosigns) return verifier;
  const [what, other] = cosigns ? ["a witness", "a log"] : ["a log", "a witness"];
  const why = cause === undefined ? `It is the key of ${other}.` : reasonOf(cause);
  throw new VakError("invalid-argument", `"${clip(String(key), 200)}" is not the key of ${what}. ${why}`, { cause });
}

export class KeyCheck {
  readonly #files: Files;
  readonly #findings: Findings;
  readonly #report: Report;
  readonly #known: KnownKeys;
  /** The keys (vkey) in the bundle's keys.txt. */
  #listed: readonly string[] = [];
  /** The keys (vkey) that the log says have signed it, in order; the last is in force. */
  readonly #named: string[] = [];
  /** Where the log names the key in force. */
  #namedAt = "";

  constructor(files: Files, findings: Findings, report: Report, known: KnownKeys) {
    this.#files = files;
    this.#findings = findings;
    this.#report = report;
    this.#known = known;
  }

  /** Checks that the checkpoint is signed by a key that is known or may turn out to be, and by the witnesses. */
  async checkpoint(): Promise<TreeHead> {
    const keysFile = await this.#files.require(KEYS_PATH, MAX_KEYS_BYTES);
    const noteFile = await this.#files.require(CHECKPOINT_PATH, MAX_NOTE_BYTES);
    if (!keysFile || !noteFile) throw new Stop();
    const { pinned } = this.#known;
    let listed: Verifier[];
    try {
      listed = parseKeys(keysFile);
    } catch (error) {
      this.#findings.stop(KEYS_PATH, error);
    }
    this.#listed = listed.map(formatVkey);
    let head: TreeHead;
    try {
      const note = parseNote(noteFile);
      head = parseCheckpoint(note.text);
      this.#report.keys = await this.#signers(note, head.origin, listed);
    } catch (error) {
      this.#findings.stop(CHECKPOINT_PATH, error);
    }
    if (!pinned) {
      this.#report.notChecked.push(
        "the key came with the bundle, so this shows that the log is consistent, not whose it is; verify with the key you know",
      );
    }
    return head;
  }

  /** The keys of the log (vkey) that signed the checkpoint. */
  async #signers(note: Note, origin: string, listed: readonly Verifier[]): Promise<string[]> {
    const { pinned, witnesses } = this.#known;
    const candidates = new Map([...listed, ...(pinned ?? [])].map((key) => [formatVkey(key), key]));
    const all = await verifyNote(note, [...candidates.values()]);
    const signers = all.filter(({ name }) => name === origin).map(formatVkey);
    // A known key may have handed over to the one that signed: then the log has to say so.
    const trusted = pinned?.map(formatVkey) ?? this.#listed;
    const possible = [...signers, ...this.#listed];
    if (signers.length === 0 || !trusted.some((key) => possible.includes(key))) {
      throw bad(this.#unknown(signers));
    }
    for (const witness of witnesses) {
      const key = formatVkey(witness);
      const line = note.signatures.find(isBy(witness));
      if (!line) throw bad(`It is not cosigned by ${key}.`);
      // Apart from the log's own keys: one of them could be made to share the witness's name and 4 bytes of key id.
      await verifyNote(note, [witness]);
      const time = Number(cosignedAt(line.signature)) * 1000;
      if (time > MAX_TIME) throw bad(`The time of the cosignature by ${key} is not a date.`);
      this.#report.witnesses.push({ key, time });
    }
    this.#report.notChecked.push(...unchecked(note, [...candidates.values(), ...witnesses]));
    return signers;
  }

  /** The log names its first key. */
  opened({ origin, vkey }: LogOpen, where: string): void {
    if (origin !== this.#report.origin) this.#findings.add(where, "its origin is not the checkpoint's");
    this.#named.push(vkey);
    this.#namedAt = where;
  }

  /** The log names another key. That counts when both keys have signed the tree up to the entry that says so. */
  async rotated({ seq, previous, vkey }: KeyRotation, where: string, tree: RightEdge): Promise<void> {
    if (previous !== this.#named.at(-1)) this.#findings.add(where, "previous is not the key that signed until then");
    this.#named.push(vkey);
    this.#namedAt = where;
    const path = rotationPath(seq);
    const file = await this.#files.require(path, MAX_NOTE_BYTES);
    if (!file) return;
    try {
      const note = parseNote(file);
      const { origin, size, root } = parseCheckpoint(note.text);
      const signers = await verifyNote(note, [parseVkey(previous), parseVkey(vkey)]);
      if (signers.length !== 2) throw bad("it is not signed by both keys");
      if (origin !== this.#report.origin) throw bad("its origin is not the checkpoint's");
      if (size !== seq + 1 || !equalBytes(root, tree.root())) {
        throw bad(`it is not a checkpoint of the first ${seq + 1} entries`);
      }
    } catch (error) {
      this.#findings.addError(path, error);
    }
  }

  /** Checks that the key in force signed the checkpoint, and that it is known or derives from a known one. */
  inForce(): void {
    const signers = this.#report.keys;
    const inForce = this.#named.at(-1);
    if (inForce === undefined) {
      // An empty log names no key.
      for (const key of this.#listed) {
        if (!signers.includes(key)) this.#findings.add(KEYS_PATH, `the checkpoint is not signed by ${key}`);
      }
      return;
    }
    if (!signers.includes(inForce)) {
      this.#findings.add(this.#namedAt, "the checkpoint is not signed by the key that this entry names");
    }
    for (const key of this.#listed) {
      if (!this.#named.includes(key)) this.#findings.add(KEYS_PATH, `the log does not mention the key ${key}`);
    }
    for (const key of this.#named) {
      if (!this.#listed.includes(key)) this.#findings.add(KEYS_PATH, `the key ${key} is missing`);
    }
    const { pinned } = this.#known;
    if (pinned && !pinned.some((key) => this.#named.includes(formatVkey(key)))) {
      const signed = pinned.map(formatVkey).find((key) => signers.includes(key));
      const what = signed
        ? `the log does not mention the key ${signed}, though that key signed it`
        : this.#unknown(signers);
      this.#findings.add(CHECKPOINT_PATH, what);
    }
  }

  /** What is wrong with a checkpoint that no known key signed: it names the keys that did, if any is in the bundle. */
  #unknown(signers: readonly string[]): string {
    const { pinned } = this.#known;
    if (!pinned || signers.length === 0) return NO_KNOWN_KEY;
    const given = pinned.length === 1 ? "the key" : "any of the keys";
    return `The log is signed by ${signers.join(" and ")}, not by ${given} you gave.`;
  }
}

type Line = Note["signatures"][number];

const isBy =
  ({ name, keyId }: Pick<Line, "name" | "keyId">) =>
  (line: Line): boolean =>
    line.name === name && equalBytes(line.keyId, keyId);

/**
 * The report's lines on signatures that were not checked: those by unknown keys, and those that name a known key but
 * differ from its first, which was checked.
 */
function unchecked({ signatures }: Note, known: readonly Verifier[]): string[] {
  const unknown = signatures.filter((line) => !known.some((key) => isBy(key)(line))).length;
  const first = known.flatMap((key) => signatures.find(isBy(key)) ?? []);
  const checked = (line: Line) => first.some((one) => isBy(one)(line) && equalBytes(one.signature, line.signature));
  const further = signatures.filter((line) => !checked(line)).length - unknown;
  const found: string[] = [];
  if (unknown === 1) found.push("1 signature of the checkpoint is by a key that was not given");
  if (unknown > 1) found.push(`${unknown} signatures of the checkpoint are by keys that were not given`);
  if (further === 1) {
    found.push("1 signature of the checkpoint names a key whose first signature was checked instead");
  }
  if (further > 1) {
    found.push(`${further} signatures of the checkpoint name keys whose first signatures were checked instead`);
  }
  return found;
}

/** @throws VakError `invalid-bundle` */
function parseKeys(file: Uint8Array): Verifier[] {
  const text = fromUtf8(file);
  if (!text.endsWith("\n")) throw bad("it does not end with a newline");
  const keys = text.slice(0, -1).split("\n").map(parseVkey);
  if (new Set(keys.map(formatVkey)).size !== keys.length) throw bad("it holds a key twice");
  if (keys.some(({ cosigns }) => cosigns)) throw bad("it holds the key of a witness");
  return keys;
}
