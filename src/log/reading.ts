/** What is read of an open log: its entries and values, and how it fares. */

import type { Entry } from "../audit/entry.ts";
import { committedValue } from "../audit/value.ts";
import { openValue } from "../audit/value-opening.ts";
import type { Bytes } from "../base/bytes.ts";
import { fromUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { type Core, unavailable } from "./core.ts";
import { corrupt } from "./faults.ts";
import { Lookup } from "./lookup.ts";
import type { EntriesOptions, EntryFilter, LogRecord, LogStatus } from "./options.ts";
import { extractable } from "./signer.ts";

/** Entries read from storage at a time. */
const READ_BATCH = 256;

export async function status(core: Core): Promise<LogStatus> {
  const { key } = core.identity;
  const [persisted, estimate] = await Promise.all([
    navigator.storage?.persisted?.().catch(() => false),
    navigator.storage?.estimate?.().catch(() => undefined),
  ]);
  const { usage, quota } = estimate ?? {};
  return {
    mode: core.ended ? "ended" : core.writer ? "writing" : "reading",
    size: core.head.size,
    signer: key.kind,
    extractable: extractable(key),
    storage: persisted ? "persistent" : "ephemeral",
    usedBytes: usage ?? null,
    availableBytes: quota === undefined || usage === undefined ? null : Math.max(0, quota - usage),
    checkpoint: core.last ?? null,
    anchored: core.anchored,
    anchorError: core.anchorError,
  };
}

export function checkSize(core: Core, size: number, least: number, what: string, most = core.head.size): void {
  if (core.ended) throw core.ended;
  if (Number.isSafeInteger(size) && size >= least && size <= most) return;
  throw new VakError("invalid-argument", `There is no such ${what}; the log has ${core.head.size} entries.`);
}

/** Work that only reads: a failure of it does not end the log. */
export async function reading<T>(core: Core, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof VakError) throw error;
    throw core.ended ?? unavailable(error);
  }
}

export async function value(core: Core, seq: number): Promise<unknown> {
  const committed = await committedAt(core, seq);
  const file = committed && (await reading(core, () => new Lookup(core.database).value(seq)));
  if (!committed || !file) return undefined;
  try {
    return openValue(file, committed.kind, committed.digest).value;
  } catch (error) {
    throw corrupt(`the value beside entry ${seq} is not the one that it commits to`, error);
  }
}

export async function erase(core: Core, seq: number): Promise<{ seq: number }> {
  if (
    (await committedAt(core, seq)) === undefined ||
    !(await reading(core, () => new Lookup(core.database).value(seq)))
  ) {
    throw new VakError("not-found", `There is no value beside entry ${seq} to erase, or none any more.`);
  }
  return core.append({ type: "erase", erases: seq });
}

async function committedAt(core: Core, seq: number) {
  checkSize(core, seq + 1, 1, "entry");
  const bytes = await reading(core, () => new Lookup(core.database).entry(seq));
  if (!bytes) throw corrupt(`entry ${seq} is missing`);
  return committedValue(decode(bytes));
}

export async function* entries(
  core: Core,
  { from = 0, follow = false, signal, where = {} }: EntriesOptions,
): AsyncGenerator<LogRecord, void> {
  const wake = () => core.wake();
  signal?.addEventListener("abort", wake);
  try {
    let next = from;
    while (!signal?.aborted) {
      const changed = core.changed.promise;
      for await (const record of records(core, next, core.head.size)) {
        next = record.seq + 1;
        if (matches(record.entry, where)) yield record;
        if (signal?.aborted) return;
      }
      if (!follow || core.ended) return;
      await changed;
    }
  } finally {
    signal?.removeEventListener("abort", wake);
  }
}

async function* records(core: Core, from: number, end: number): AsyncGenerator<LogRecord> {
  for (let seq = from; seq < end; ) {
    let batch: Bytes[];
    try {
      batch = await new Lookup(core.database).entries(seq, Math.min(end, seq + READ_BATCH));
    } catch (error) {
      throw core.ended ?? unavailable(error);
    }
    if (batch.length === 0) throw corrupt(`entry ${seq} is missing`);
    for (const bytes of batch) yield { seq: seq++, entry: decode(bytes), bytes };
  }
}

function matches(entry: Entry, { types, agent, run, tool, decision, since, until }: EntryFilter): boolean {
  const { name, id } = "agent" in entry ? entry.agent : {};
  return (
    (types === undefined || types.includes(entry.type)) &&
    (agent === undefined || agent === name || agent === id) &&
    (run === undefined || ("run" in entry && entry.run === run)) &&
    (tool === undefined || ("action" in entry && entry.action === `call:${tool}`)) &&
    (decision === undefined || ("decision" in entry && entry.decision === decision)) &&
    (since === undefined || entry.time >= since) &&
    (until === undefined || entry.time < until)
  );
}

function decode(bytes: Uint8Array): Entry {
  return JSON.parse(fromUtf8(bytes));
}
