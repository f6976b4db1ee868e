/** Reads an open log: its entries, its private values and its status. */

import type { Entry } from "../audit/entry.ts";
import { committedValue } from "../audit/value.ts";
import { openValue } from "../audit/value-opening.ts";
import type { Bytes } from "../base/bytes.ts";
import { checkSignal } from "../base/signal.ts";
import { fromUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { corrupt } from "./faults.ts";
import { type LiveLog, unavailable } from "./live-log.ts";
import { Lookup } from "./lookup.ts";
import type { EntriesOptions, EntryFilter, LogRecord, LogStatus } from "./options.ts";
import { extractable } from "./signer.ts";

/** Entries read from the database at a time. */
const READ_BATCH = 256;

export async function status(live: LiveLog): Promise<LogStatus> {
  const { key } = live.identity;
  const [persisted, estimate] = await Promise.all([
    navigator.storage?.persisted?.().catch(() => false),
    navigator.storage?.estimate?.().catch(() => undefined),
  ]);
  const { usage, quota } = estimate ?? {};
  return {
    mode: live.ended ? "ended" : live.writer ? "writing" : "reading",
    size: live.head.size,
    signer: key.kind,
    extractable: extractable(key),
    storage: persisted ? "persistent" : "ephemeral",
    usedBytes: usage ?? null,
    availableBytes: quota === undefined || usage === undefined ? null : Math.max(0, quota - usage),
    checkpoint: live.last ?? null,
    anchored: live.anchored,
    anchorError: live.anchorError,
  };
}

export function checkSize(live: LiveLog, size: number, least: number, what: string, most = live.head.size): void {
  if (live.ended) throw live.ended;
  if (Number.isSafeInteger(size) && size >= least && size <= most) return;
  throw new VakError("invalid-argument", `The log has no such ${what}: it has ${live.head.size} entries.`);
}

/** Runs work that only reads, so its failure does not end the log. */
export async function reading<T>(live: LiveLog, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof VakError) throw error;
    throw live.ended ?? unavailable(error);
  }
}

export async function value(live: LiveLog, seq: number): Promise<unknown> {
  const committed = await committedAt(live, seq);
  const file = committed && (await reading(live, () => new Lookup(live.database).value(seq)));
  if (!committed || !file) return undefined;
  try {
    return openValue(file, committed.kind, committed.digest).value;
  } catch (error) {
    throw corrupt(`the value beside entry ${seq} is not the one that the entry commits to`, error);
  }
}

export async function erase(live: LiveLog, seq: number): Promise<{ seq: number }> {
  if (
    (await committedAt(live, seq)) === undefined ||
    !(await reading(live, () => new Lookup(live.database).value(seq)))
  ) {
    throw new VakError("not-found", `Entry ${seq} has no value to erase: it never had one, or it was erased.`);
  }
  return live.append({ type: "erase", erases: seq });
}

async function committedAt(live: LiveLog, seq: number) {
  checkSize(live, seq + 1, 1, "entry");
  const bytes = await reading(live, () => new Lookup(live.database).entry(seq));
  if (!bytes) throw corrupt(`entry ${seq} is missing`);
  return committedValue(decode(bytes));
}

export async function* entries(
  live: LiveLog,
  { from = 0, follow = false, signal, where = {} }: EntriesOptions,
): AsyncGenerator<LogRecord, void> {
  checkSignal(signal);
  const wake = () => live.wake();
  signal?.addEventListener("abort", wake);
  try {
    let next = from;
    while (!signal?.aborted) {
      const changed = live.changed.promise;
      for await (const record of records(live, next, live.head.size)) {
        next = record.seq + 1;
        if (matches(record.entry, where)) yield record;
        if (signal?.aborted) return;
      }
      if (!follow || live.ended) return;
      await changed;
    }
  } finally {
    signal?.removeEventListener("abort", wake);
  }
}

async function* records(live: LiveLog, from: number, end: number): AsyncGenerator<LogRecord> {
  for (let seq = from; seq < end; ) {
    let batch: Bytes[];
    try {
      batch = await new Lookup(live.database).entries(seq, Math.min(end, seq + READ_BATCH));
    } catch (error) {
      throw live.ended ?? unavailable(error);
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
