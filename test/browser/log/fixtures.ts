/** What the tests of the log share: drafts of entries, logs that are closed after each test, and access to storage. */
import { deleteDB, type IDBPDatabase, openDB, unwrap } from "idb";
import { expect } from "vitest";
import type { Draft } from "../../../src/audit/entry.ts";
import { openBundle, type Report, verify } from "../../../src/audit/index.ts";
import type { AgentRef } from "../../../src/audit/vocabulary/common.ts";
import { VakError } from "../../../src/errors.ts";
import { type AuditLog, type LogOptions, type LogRecord, openLog } from "../../../src/log/log.ts";

export const POLICY = `permit (principal, action == Action::"call:add", resource);`;
export const AGENT: AgentRef = { name: "tester", id: "a1", program: "ab".repeat(32) };
export const SPAWN: Draft = {
  type: "agent-spawn",
  agent: AGENT,
  limits: { fuel: 1 },
  seed: 1,
  isolation: "opaque",
  machine: "wt1/1/1",
};
export const START: Draft = { type: "run-start", agent: AGENT, run: "r1", args: [], env: [], startTime: 0 };
export const END: Draft = {
  type: "run-end",
  agent: AGENT,
  run: "r1",
  status: "exited",
  exitCode: 0,
  trap: null,
  limit: null,
  message: null,
  usage: { fuel: 1 },
  digest: null,
  untraced: "no run",
};
export const NOTE = { type: "policy-refused", textDigest: "00".repeat(32), message: "no" } satisfies Draft;

export async function policyDigest(): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(POLICY));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function intent(call: number): Promise<Draft> {
  return {
    type: "intent",
    agent: AGENT,
    run: "r1",
    call,
    action: "call:add",
    resource: "tool:add",
    callDigest: "cd".repeat(32),
    decision: "allow",
    policies: ["policy0"],
    policyDigest: await policyDigest(),
  };
}

export function outcome(call: number, intentOf: number): Draft {
  return { type: "outcome", agent: AGENT, run: "r1", call, intentOf, status: "ok", error: null };
}

/** A policy, an agent, and its run. */
export async function beginRun(log: AuditLog): Promise<void> {
  await log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
  await log.append(SPAWN);
  await log.append(START);
}

const open: AuditLog[] = [];

export const newName = (): string => `t-${crypto.randomUUID()}`;

/** Opens a log that {@link closeLogs} closes. */
export async function openTracked(name: string, options: LogOptions = {}): Promise<AuditLog> {
  const log = await openLog({ name, ...options });
  open.push(log);
  return log;
}

export async function closeLogs(): Promise<void> {
  for (const log of open.splice(0)) await log.close();
}

export async function allOf(log: AuditLog): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of log.entries()) records.push(record);
  return records;
}

export async function refusal(promise: Promise<unknown>): Promise<VakError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(VakError);
  return error as VakError;
}

/** Exports the log and verifies that. */
export async function verified(log: AuditLog, key = log.vkey): Promise<Report> {
  const report = await verify(await openBundle(await log.export()), { keys: [key] });
  expect(report.problems).toEqual([]);
  expect(report.ok).toBe(true);
  return report;
}

/** The log's database, as another tab or a tool sees it. */
export const databaseOf = (name: string): Promise<IDBPDatabase> => openDB(`vak:log:${name}`);

/** Deletes it behind the page's back, as a browser may. */
export const loseDatabase = (name: string): Promise<void> => deleteDB(`vak:log:${name}`);

/** One record. */
export async function recordOf(name: string, store: string, key: IDBValidKey): Promise<unknown> {
  const db = await databaseOf(name);
  const record = await db.get(store, key);
  db.close();
  return record;
}

/** Changes one store behind the log's back. */
export async function tamper(name: string, store: string, work: (store: IDBObjectStore) => void): Promise<void> {
  const db = await databaseOf(name);
  const transaction = db.transaction(store, "readwrite");
  work(unwrap(transaction).objectStore(store));
  await transaction.done;
  db.close();
}
