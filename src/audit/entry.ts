/** What an entry of the log says. An entry is one leaf of the tree: an object in canonical JSON. */

import type { Bytes } from "../base/bytes.ts";
import { canonicalBytes, parseCanonical } from "../base/canonical.ts";
import { isCount, isDigest, isObject } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import { areLabels } from "../labels.ts";
import { MAX_ENTRY_BYTES } from "../tlog/sizes.ts";

/** SHA-256, 64 lower-case hex digits. */
export type Digest = string;

/** The principal that an entry speaks of. */
export interface AgentRef {
  name: string;
  /** Unique to this spawn. */
  id: string;
  /** SHA-256 of the program's bytes. */
  program: Digest;
}

/** Who holds the key: WebCrypto, this library, or the caller. */
export type SignerKind = "webcrypto" | "noble" | "custom";

interface Common {
  /** Version of this vocabulary. */
  v: 1;
  /** The leaf's index, from 0. */
  seq: number;
  /** Wall clock when it was appended, ms since 1970. It informs; it proves nothing. */
  time: number;
}

/** Always the first entry, and only that. */
export interface LogOpen extends Common {
  type: "log-open";
  origin: string;
  /** The key that signs the checkpoints. */
  vkey: string;
  signer: SignerKind;
  /** Whether scripts of the page could read the secret key; null where only its owner knows. */
  extractable: boolean | null;
}

/** Another key signs from here on. A checkpoint of just this size is signed by both. */
export interface KeyRotation extends Common {
  type: "key-rotation";
  /** The key that signed until now. */
  previous: string;
  vkey: string;
  signer: SignerKind;
  extractable: boolean | null;
}

export interface PolicyLoad extends Common {
  type: "policy-load";
  /** SHA-256 of the policy's text, which the bundle holds as `policies/<digest>.cedar`. */
  policyDigest: Digest;
  /** The policy that this one replaces; null for the log's first. */
  previous: Digest | null;
  /** Ids of the policies in it. */
  policies: string[];
  /** SHA-256 of what the policy stands on, the tools and their schemas; the bundle holds it as `policies/<digest>.json`. */
  baseDigest?: Digest;
}

/** A policy that did not parse or validate; the old one stayed. */
export interface PolicyRefused extends Common {
  type: "policy-refused";
  /** SHA-256 of the refused text. */
  textDigest: Digest;
  message: string;
}

/** A directory of an agent's files that is kept elsewhere. */
export interface MountRef {
  /** Where its program finds it, as `/data`. */
  path: string;
  /** What keeps it: nothing but the agent, a directory that the page has, a name in this origin, another agent. */
  from: "files" | "directory" | "persist" | "agent";
  /** That name, or that agent's id; absent for the others. */
  name?: string;
  readOnly: boolean;
  quotaBytes: number;
  /** Of what was in it to begin with, as `agent.files.snapshot()` has it. */
  digest: Digest;
}

export interface AgentSpawn extends Common {
  type: "agent-spawn";
  agent: AgentRef;
  /** In the units of `Limits`. */
  limits: Record<string, number>;
  seed: number;
  isolation: string;
  /** Cost table, version of the meter, version of the sandbox: who has the same executes a run in the same way. */
  machine: string;
  /** Id of the agent that it comes from, and never has more rights than; absent where there is none. */
  parent?: string;
  /** The tools that it may ask for; absent where it is not held to some. */
  grants?: string[];
  /** Absent where there are none. */
  mounts?: MountRef[];
  /** What it has read from the beginning: its files and its parent's labels; absent where there are none. */
  labels?: string[];
}

/** What keeps a mount had changed, and the agent is given that. */
export interface MountRead extends Common {
  type: "mount-read";
  agent: AgentRef;
  /** Its path. */
  mount: string;
  /** Of what is in it from here on. */
  digest: Digest;
}

/** What the agent changed in a mount is to be written to what keeps it: logged before that is done. */
export interface MountWrite extends Common {
  type: "mount-write";
  agent: AgentRef;
  mount: string;
  /** Of what is there, and of what is to be there. */
  previous: Digest;
  digest: Digest;
  /** How many files, directories and links are written, and how many removed. */
  written: number;
  removed: number;
}

/** What became of a {@link MountWrite}. Where there is none, it may have been done or not. */
export interface MountWritten extends Common {
  type: "mount-written";
  agent: AgentRef;
  /** The `seq` of the write that this closes. */
  writeOf: number;
  /** `error`: not, or not all of it. */
  status: "ok" | "error";
  /** Null unless the status is `error`. */
  message: string | null;
}

/** The host says that the agent has now something of these labels, besides what other entries say. */
export interface AgentLabel extends Common {
  type: "agent-label";
  agent: AgentRef;
  labels: string[];
}

/** The host says that nothing the agent holds, in its memory and its files, is of these labels any more. */
export interface AgentDeclassify extends Common {
  type: "agent-declassify";
  agent: AgentRef;
  /** Labels that it had. */
  labels: string[];
  /** Who says so. */
  by: string;
  reason: string;
}

/** From here on the agent may ask for these tools only, of those it had. */
export interface AgentAttenuate extends Common {
  type: "agent-attenuate";
  agent: AgentRef;
  grants: string[];
}

/** From here on the agent may ask for nothing any more, and no agent that comes from it. */
export interface AgentRevoke extends Common {
  type: "agent-revoke";
  agent: AgentRef;
}

/** An agent is given permits for a task, besides the policy. */
export interface Lease extends Common {
  type: "lease";
  agent: AgentRef;
  /** Cedar text. */
  permit: string;
  /** Ids of the permits in it. */
  policies: string[];
  /** The policy that they are added to; under another they permit nothing. */
  policyDigest: Digest;
  /** When it ends at the latest, ms since 1970; null when that is not known beforehand. */
  until: number | null;
}

/** A lease has ended; those of an agent that is closed end with it. */
export interface LeaseEnd extends Common {
  type: "lease-end";
  agent: AgentRef;
  /** The `seq` of the lease. */
  lease: number;
}

/** An agent that was not made. */
export interface SpawnRefused extends Common {
  type: "spawn-refused";
  name: string;
  /** Null when there was no program to take the digest of. */
  program: Digest | null;
  message: string;
}

export interface AgentClose extends Common {
  type: "agent-close";
  agent: AgentRef;
}

export interface RunStart extends Common {
  type: "run-start";
  agent: AgentRef;
  /** Unique to this run. */
  run: string;
  args: string[];
  /** Names of the environment's variables; their values may be secrets. */
  env: string[];
  /** What the guest's clock says at the start, ms since 1970. */
  startTime: number;
  /** Set when that was real time: what it said each time that it was read is in the run's trace. */
  clock?: "real";
  /** Commitment to the environment's values and standard input (see `trace.ts`); null when they are not kept. */
  inputDigest: Digest | null;
  /**
   * Where it goes on with a run of this or another log: that run's id, and the first call that is this log's. What led there
   * was answered from the recording.
   */
  continues?: { run: string; call: number };
  /** What it is given is labelled so; absent where there are none. */
  labels?: string[];
}

interface CallEntry extends Common {
  agent: AgentRef;
  run: string;
  /** The call's number within its run. */
  call: number;
}

/** What an entry keeps of a decision, so that it can be made again. */
interface Decided {
  /** What only the kernel knew, as the policy saw it in `context.vak`, but for the `callDigest`. */
  facts?: { readonly [name: string]: unknown };
  /** `seq` of the approval that the call was decided with, or that refused it; absent when no person was asked. */
  approval?: number;
  /** Kinds of what was taken out of the input before this decision, as a policy wants it (`@redact`). */
  redacted?: string[];
  /** What would have been decided with the policies that were only tried. */
  shadow?: { decision: "allow" | "deny" | "ask"; policies: string[]; reason?: string; errors: string[] };
}

/** A person is asked whether a call may be made. */
export interface ApprovalRequest extends CallEntry {
  type: "approval-request";
  action: string;
  resource: string;
  /** Commitment to the input; the value is beside the intent or the denial that follows. */
  inputDigest: Digest;
  callDigest: Digest;
  /** Ids of the policies that allow it if it is approved. */
  policies: string[];
  policyDigest: Digest;
  /** When no answer means no, ms since 1970. */
  expires: number;
}

/** What came of asking, before the call is made or denied. */
export interface Approval extends CallEntry {
  type: "approval";
  /** The `seq` of the request that this closes. */
  requestOf: number;
  callDigest: Digest;
  /** `expired`: there was no answer in time. `withdrawn`: the run ended first. `failed`: the person could not be asked. */
  verdict: "granted" | "refused" | "expired" | "withdrawn" | "failed";
  /** Who answered; null when nobody did. */
  by: string | null;
  /** Set when granted: for this call, or for each with the same tool and input in this run; else null. */
  scope: "call" | "run" | null;
}

/** An allowed call, written before its effect. */
export interface Intent extends CallEntry, Decided {
  type: "intent";
  action: string;
  resource: string;
  /** Commitment to the input (see `value.ts`). */
  inputDigest: Digest;
  callDigest: Digest;
  decision: "allow";
  /** `seq` of the lease that allowed it; absent where the policy did. */
  lease?: number;
  /** Ids of the policies that allowed it. */
  policies: string[];
  policyDigest: Digest;
}

/** A call that was denied and had no effect. */
export interface Denial extends CallEntry, Decided {
  type: "denial";
  action: string;
  resource: string;
  /** Commitment to the input; null when the request held none that could be read. */
  inputDigest: Digest | null;
  callDigest: Digest | null;
  decision: "deny";
  reason: string;
  policies: string[];
  errors: string[];
  /** Empty when no policy was loaded. */
  policyDigest: Digest | "";
}

/** What became of an allowed call. */
export interface Outcome extends CallEntry {
  type: "outcome";
  /** The `seq` of the intent that this closes. */
  intentOf: number;
  /** `unknown`: the effect may or may not have happened, for the page or the tool was gone before it could say. */
  status: "ok" | "error" | "unknown";
  /** Commitment to the answer; never null when the status is `ok`. */
  outputDigest: Digest | null;
  /** Code of the error; null unless the status is `error`. */
  error: string | null;
  /** What the call came to, by unit, where there are budgets. */
  cost?: { readonly [unit: string]: number };
  /** The answer is labelled so, and the agent from here on; absent where there are none. */
  labels?: string[];
}

/** A guest asked which tools it could ever be allowed to call, and was told. It is the answer to a call, and no decision. */
export interface ToolsListed extends CallEntry {
  type: "tools-listed";
  /** What it asked for in the place of a tool. */
  resource: "vak.tools";
  /** Their names. */
  tools: string[];
  /** Empty when no policy was loaded. */
  policyDigest: Digest | "";
}

/** A part of what the run took in is stored while it goes on. */
export interface TracePart extends Common {
  type: "trace";
  agent: AgentRef;
  run: string;
  /** Its number among the run's, from 1. */
  part: number;
  /** Commitment to it (see `trace.ts`). */
  traceDigest: Digest;
}

export interface RunEnd extends Common {
  type: "run-end";
  agent: AgentRef;
  run: string;
  status: "exited" | "trapped" | "stopped" | "failed";
  /** Set when `exited`, else null. */
  exitCode: number | null;
  /** Set when `trapped`, else null. */
  trap: string | null;
  /** Set when `stopped`: the limit that stopped it, or `aborted`; else null. */
  limit: string | null;
  message: string | null;
  /** Whole numbers in the units of `usage`. */
  usage: Record<string, number>;
  /** The run's digest; null when the run was lost and there is none. */
  digest: Digest | null;
  /** Commitment to what the run took in since the last part of its trace (see `trace.ts`); null when there is no trace. */
  traceDigest: Digest | null;
  /** Why there is no trace, so that the run cannot be replayed; null when there is one. */
  untraced: string | null;
}

/**
 * The log was opened again after it had not been closed in order. The open intents have just been closed as `unknown`;
 * this entry ends every run and closes every agent that is still open.
 */
export interface Recovery extends Common {
  type: "recovery";
  /** How many of each it found open. */
  intents: number;
  runs: number;
  agents: number;
}

/** A private value was deleted, by whoever holds the log. */
export interface Erase extends Common {
  type: "erase";
  /** `seq` of the entry whose value that was. */
  erases: number;
}

export type Entry =
  | LogOpen
  | KeyRotation
  | PolicyLoad
  | PolicyRefused
  | AgentSpawn
  | AgentLabel
  | AgentDeclassify
  | AgentAttenuate
  | AgentRevoke
  | Lease
  | LeaseEnd
  | MountRead
  | MountWrite
  | MountWritten
  | SpawnRefused
  | AgentClose
  | RunStart
  | ApprovalRequest
  | Approval
  | Intent
  | Denial
  | Outcome
  | ToolsListed
  | TracePart
  | RunEnd
  | Recovery
  | Erase;

export type EntryType = Entry["type"];

/** What the log knows better than whoever appends. */
interface FilledByLog {
  "policy-load": "policyDigest" | "previous" | "baseDigest";
  "run-start": "inputDigest";
  trace: "traceDigest";
  "run-end": "traceDigest";
  intent: "inputDigest";
  denial: "inputDigest";
  outcome: "outputDigest";
}

type DraftOf<T extends EntryType> = Omit<
  Extract<Entry, { type: T }>,
  keyof Common | (T extends keyof FilledByLog ? FilledByLog[T] : never)
>;

/** An entry as it is given to the log, which fills in `v`, `seq`, `time` and the digests of what is attached. */
export type Draft = { [T in Exclude<EntryType, OwnType>]: DraftOf<T> }[Exclude<EntryType, OwnType>];

/** What only the log itself says. */
type OwnType = "log-open" | "key-rotation" | "recovery";
export type OwnDraft = { [T in OwnType]: DraftOf<T> }[OwnType];

/** Text from a stranger, made fit for an entry: at most `length` UTF-16 units, and well-formed. */

type Check = (value: unknown) => boolean;
/** A field that an entry may do without: entries written before there was such a field have none. */
type Field = Check | { maybe: Check };

const isText: Check = (value) => typeof value === "string";
const isFlag: Check = (value) => typeof value === "boolean";
const isInteger: Check = Number.isSafeInteger;
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isCounts: Check = (value) => isObject(value) && Object.values(value).every(isCount);
const isAgent: Check = (value) =>
  isObject(value) &&
  Object.keys(value).length === 3 &&
  isText(value.name) &&
  isText(value.id) &&
  isDigest(value.program);
const oneOf =
  (...values: unknown[]): Check =>
  (value) =>
    values.includes(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);

const isSigner = oneOf("webcrypto", "noble", "custom");
const isFacts: Check = isObject;
const isDecision = oneOf("allow", "deny", "ask");
const isShadow: Check = (value) =>
  isObject(value) &&
  isDecision(value.decision) &&
  isTexts(value.policies) &&
  isTexts(value.errors) &&
  (value.reason === undefined || isText(value.reason)) &&
  Object.keys(value).length === ("reason" in value ? 4 : 3);
const DECIDED = {
  facts: { maybe: isFacts },
  approval: { maybe: isCount },
  redacted: { maybe: isTexts },
  shadow: { maybe: isShadow },
};
/** The most mounts that an agent can have. */
export const MAX_MOUNTS = 16;
const isMount: Check = (value) =>
  isObject(value) &&
  isText(value.path) &&
  oneOf("files", "directory", "persist", "agent")(value.from) &&
  (value.name === undefined || isText(value.name)) &&
  isFlag(value.readOnly) &&
  isCount(value.quotaBytes) &&
  isDigest(value.digest) &&
  Object.keys(value).length === ("name" in value ? 6 : 5);
const isMounts: Check = (value) => Array.isArray(value) && value.length <= MAX_MOUNTS && value.every(isMount);
const CALL = { agent: isAgent, run: isText, call: isCount };

/** Every field of every type, so that the compiler says when one is missing here. */
const FIELDS: { [T in EntryType]: Record<Exclude<keyof Extract<Entry, { type: T }>, keyof Common | "type">, Field> } = {
  "log-open": { origin: isText, vkey: isText, signer: isSigner, extractable: orNull(isFlag) },
  "key-rotation": { previous: isText, vkey: isText, signer: isSigner, extractable: orNull(isFlag) },
  "policy-load": {
    policyDigest: isDigest,
    previous: orNull(isDigest),
    policies: isTexts,
    baseDigest: { maybe: isDigest },
  },
  "policy-refused": { textDigest: isDigest, message: isText },
  "agent-spawn": {
    agent: isAgent,
    limits: isCounts,
    seed: isInteger,
    isolation: isText,
    machine: isText,
    parent: { maybe: isText },
    grants: { maybe: isTexts },
    mounts: { maybe: isMounts },
    labels: { maybe: areLabels },
  },
  "mount-read": { agent: isAgent, mount: isText, digest: isDigest },
  "mount-write": {
    agent: isAgent,
    mount: isText,
    previous: isDigest,
    digest: isDigest,
    written: isCount,
    removed: isCount,
  },
  "mount-written": { agent: isAgent, writeOf: isCount, status: oneOf("ok", "error"), message: orNull(isText) },
  "agent-label": { agent: isAgent, labels: areLabels },
  "agent-declassify": { agent: isAgent, labels: areLabels, by: isText, reason: isText },
  "agent-attenuate": { agent: isAgent, grants: isTexts },
  "agent-revoke": { agent: isAgent },
  lease: { agent: isAgent, permit: isText, policies: isTexts, policyDigest: isDigest, until: orNull(isCount) },
  "lease-end": { agent: isAgent, lease: isCount },
  "spawn-refused": { name: isText, program: orNull(isDigest), message: isText },
  "agent-close": { agent: isAgent },
  "run-start": {
    agent: isAgent,
    run: isText,
    args: isTexts,
    env: isTexts,
    startTime: isCount,
    clock: { maybe: oneOf("real") },
    inputDigest: orNull(isDigest),
    continues: {
      maybe: (value) => isObject(value) && Object.keys(value).length === 2 && isText(value.run) && isCount(value.call),
    },
    labels: { maybe: areLabels },
  },
  "approval-request": {
    ...CALL,
    action: isText,
    resource: isText,
    inputDigest: isDigest,
    callDigest: isDigest,
    policies: isTexts,
    policyDigest: isDigest,
    expires: isCount,
  },
  approval: {
    ...CALL,
    requestOf: isCount,
    callDigest: isDigest,
    verdict: oneOf("granted", "refused", "expired", "withdrawn", "failed"),
    by: orNull(isText),
    scope: oneOf("call", "run", null),
  },
  intent: {
    ...CALL,
    ...DECIDED,
    action: isText,
    resource: isText,
    inputDigest: isDigest,
    callDigest: isDigest,
    decision: oneOf("allow"),
    lease: { maybe: isCount },
    policies: isTexts,
    policyDigest: isDigest,
  },
  denial: {
    ...CALL,
    ...DECIDED,
    action: isText,
    resource: isText,
    inputDigest: orNull(isDigest),
    callDigest: orNull(isDigest),
    decision: oneOf("deny"),
    reason: isText,
    policies: isTexts,
    errors: isTexts,
    policyDigest: (value) => value === "" || isDigest(value),
  },
  outcome: {
    ...CALL,
    intentOf: isCount,
    status: oneOf("ok", "error", "unknown"),
    outputDigest: orNull(isDigest),
    error: orNull(isText),
    cost: { maybe: isCounts },
    labels: { maybe: areLabels },
  },
  "tools-listed": {
    ...CALL,
    resource: oneOf("vak.tools"),
    tools: isTexts,
    policyDigest: (value) => value === "" || isDigest(value),
  },
  trace: { agent: isAgent, run: isText, part: isCount, traceDigest: isDigest },
  "run-end": {
    agent: isAgent,
    run: isText,
    status: oneOf("exited", "trapped", "stopped", "failed"),
    exitCode: orNull(isInteger),
    trap: orNull(isText),
    limit: orNull(isText),
    message: orNull(isText),
    usage: isCounts,
    digest: orNull(isDigest),
    traceDigest: orNull(isDigest),
    untraced: orNull(isText),
  },
  recovery: { intents: isCount, runs: isCount, agents: isCount },
  erase: { erases: isCount },
};

const COMMON: Record<keyof Common, Check> = { v: oneOf(1), seq: isCount, time: isCount };

const ALL_FIELDS = Object.fromEntries(
  Object.entries(FIELDS).map(([type, fields]) => [
    type,
    new Map<string, Field>(Object.entries({ ...COMMON, ...fields })),
  ]),
) as Record<EntryType, Map<string, Field>>;

/** What is wrong with a value that should be an entry, or undefined when nothing is. */
function fault(value: unknown): string | undefined {
  if (!isObject(value)) return "it is not an object";
  const { type } = value;
  if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) return `there is no type ${JSON.stringify(type)}`;
  const fields = ALL_FIELDS[type as EntryType];
  let known = 1;
  for (const [field, check] of fields) {
    const optional = "maybe" in check;
    if (!Object.hasOwn(value, field)) {
      if (optional) continue;
      return `${type}.${field} is missing`;
    }
    known++;
    if (!(optional ? check.maybe : check)(value[field])) return `${type}.${field} is not valid`;
  }
  const names = Object.keys(value);
  if (names.length > known) {
    const more = names.find((field) => field !== "type" && !fields.has(field));
    return `${type} has no field ${JSON.stringify(more)}`;
  }
  return contradiction(value as unknown as Entry);
}

function contradiction(entry: Entry): string | undefined {
  if (entry.type === "outcome") {
    if (entry.status === "ok" && entry.outputDigest === null) return "an outcome that is ok has an outputDigest";
    if (entry.status === "unknown" && entry.outputDigest !== null) return "an unknown outcome has no outputDigest";
    if ((entry.status === "error") !== (entry.error !== null)) return "error is set if and only if the status is error";
  }
  if (entry.type === "mount-written" && (entry.status === "error") !== (entry.message !== null)) {
    return "what went wrong is said if and only if something did";
  }
  if (entry.type === "approval") {
    const answered = entry.verdict === "granted" || entry.verdict === "refused";
    if (answered !== (entry.by !== null)) return "an approval says who answered if and only if someone did";
    if ((entry.verdict === "granted") !== (entry.scope !== null)) return "what is granted has a scope, and only that";
  }
  if (entry.type === "run-end") {
    const set = { exited: entry.exitCode, trapped: entry.trap, stopped: entry.limit, failed: entry.message };
    if (set[entry.status] === null) return `a run that ${entry.status} says how`;
    if (
      (entry.exitCode !== null && entry.status !== "exited") ||
      (entry.trap !== null && entry.status !== "trapped") ||
      (entry.limit !== null && entry.status !== "stopped")
    ) {
      return `a run that ${entry.status} did not also end otherwise`;
    }
    if ((entry.traceDigest === null) === (entry.untraced === null)) return "a run has a trace, or says why it has none";
  }
  return undefined;
}

/**
 * The entry's bytes, as they are hashed.
 *
 * @throws VakError `invalid-argument` when it is not an entry or longer than {@link MAX_ENTRY_BYTES}
 */
export function encodeEntry(entry: Entry): Bytes {
  const wrong = fault(entry);
  if (wrong) throw new VakError("invalid-argument", `This cannot be logged: ${wrong}.`);
  const bytes = canonicalBytes(entry);
  if (bytes.length > MAX_ENTRY_BYTES) {
    throw new VakError(
      "invalid-argument",
      `The entry has ${bytes.length} bytes; at most ${MAX_ENTRY_BYTES} fit. Shorten its texts.`,
    );
  }
  return bytes;
}

/**
 * Reads what {@link encodeEntry} writes.
 *
 * @throws VakError `invalid-bundle` when the bytes are not canonical JSON or not an entry
 */
export function parseEntry(bytes: Uint8Array): Entry {
  const value = parseCanonical(bytes);
  const wrong = fault(value);
  if (wrong) throw new VakError("invalid-bundle", `It is not an entry: ${wrong}.`);
  return value as Entry;
}
