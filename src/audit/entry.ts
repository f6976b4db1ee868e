/** An entry of the log: one leaf of its tree, an object of the vocabulary in canonical JSON (RFC 8785). */
import type { Bytes } from "../base/bytes.ts";
import { canonicalBytes, parseCanonical } from "../base/canonical.ts";
import { isObject } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import { MAX_ENTRY_BYTES } from "../tlog/sizes.ts";
import { faultFinder, oneOf } from "./fields.ts";
import {
  type AgentAttenuate,
  type AgentClose,
  type AgentDeclassify,
  type AgentLabel,
  type AgentRevoke,
  type AgentSpawn,
  agentAttenuate,
  agentClose,
  agentDeclassify,
  agentLabel,
  agentRevoke,
  agentSpawn,
  type SpawnRefused,
  spawnRefused,
} from "./vocabulary/agent.ts";
import {
  type Approval,
  type ApprovalRequest,
  approval,
  approvalRequest,
  type Denial,
  denial,
  type Intent,
  intent,
  type Outcome,
  outcome,
  type ToolsListed,
  toolsListed,
} from "./vocabulary/call.ts";
import { type CommonName, common } from "./vocabulary/common.ts";
import {
  type Erase,
  erase,
  type KeyRotation,
  keyRotation,
  type LogOpen,
  logOpen,
  type Recovery,
  recovery,
} from "./vocabulary/log.ts";
import {
  type MountRead,
  type MountWrite,
  type MountWritten,
  mountRead,
  mountWrite,
  mountWritten,
} from "./vocabulary/mount.ts";
import {
  type Lease,
  type LeaseEnd,
  lease,
  leaseEnd,
  type PolicyLoad,
  type PolicyRefused,
  policyLoad,
  policyRefused,
} from "./vocabulary/policy.ts";
import { type RunEnd, type RunStart, runEnd, runStart, type TracePart, tracePart } from "./vocabulary/run.ts";

const DECLARATIONS = [
  logOpen,
  keyRotation,
  recovery,
  erase,
  policyLoad,
  policyRefused,
  lease,
  leaseEnd,
  agentSpawn,
  spawnRefused,
  agentClose,
  agentLabel,
  agentDeclassify,
  agentAttenuate,
  agentRevoke,
  mountRead,
  mountWrite,
  mountWritten,
  runStart,
  tracePart,
  runEnd,
  approvalRequest,
  approval,
  intent,
  denial,
  outcome,
  toolsListed,
] as const;

export type Entry =
  | LogOpen
  | KeyRotation
  | Recovery
  | Erase
  | PolicyLoad
  | PolicyRefused
  | Lease
  | LeaseEnd
  | AgentSpawn
  | SpawnRefused
  | AgentClose
  | AgentLabel
  | AgentDeclassify
  | AgentAttenuate
  | AgentRevoke
  | MountRead
  | MountWrite
  | MountWritten
  | RunStart
  | TracePart
  | RunEnd
  | ApprovalRequest
  | Approval
  | Intent
  | Denial
  | Outcome
  | ToolsListed;

export type EntryType = Entry["type"];

export const ENTRY_TYPES = DECLARATIONS.map(({ type }) => type);

/** The fields that the log fills in itself. */
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
  CommonName | (T extends keyof FilledByLog ? FilledByLog[T] : never)
>;

/** The types of entry that only the log itself writes. */
type OwnType = "log-open" | "key-rotation" | "recovery";

/** An entry as it is given to the log, which fills in `v`, `seq`, `time` and the digests of what is attached. */
export type Draft = { [T in Exclude<EntryType, OwnType>]: DraftOf<T> }[Exclude<EntryType, OwnType>];

/** As {@link Draft}, for what only the log itself writes. */
export type OwnDraft = { [T in OwnType]: DraftOf<T> }[OwnType];

/** By type of entry: finds what is wrong with an object of that type. */
const FAULT_FINDERS: ReadonlyMap<string, (value: Record<string, unknown>) => string | undefined> = new Map(
  DECLARATIONS.map(({ type, fields, rule }) => {
    const find = faultFinder({ ...common, type: oneOf(type), ...fields });
    return [
      type,
      (value) => {
        const wrong = find(value);
        return wrong === undefined ? (rule as Rule | undefined)?.(value) : `${type}${wrong}`;
      },
    ];
  }),
);

type Rule = (value: Record<string, unknown>) => string | undefined;

/** What is wrong with a value that should be an entry; undefined if nothing is. */
function faultOf(value: unknown): string | undefined {
  if (!isObject(value)) return "it is not an object";
  const { type } = value;
  const find = typeof type === "string" ? FAULT_FINDERS.get(type) : undefined;
  return find ? find(value) : `there is no type ${JSON.stringify(type)}`;
}

/**
 * The entry's bytes, as they are hashed.
 *
 * @throws VakError `invalid-argument` when it is not an entry or longer than {@link MAX_ENTRY_BYTES}
 */
export function encodeEntry(entry: Entry): Bytes {
  const fault = faultOf(entry);
  if (fault) throw new VakError("invalid-argument", `This cannot be logged: ${fault}.`);
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
  const fault = faultOf(value);
  if (fault) throw new VakError("invalid-bundle", `It is not an entry: ${fault}.`);
  return value as Entry;
}
