/** Watches an agent's files, by comparing one look at them with the next. */

import { VakError } from "../errors.ts";
import type { TreeEntry } from "../protocol/messages.ts";

/** What happened to a file, a directory or a symbolic link. */
export interface FileChange {
  path: string;
  change: "created" | "changed" | "removed";
}

/** Milliseconds between two looks while a program is running. */
const PAUSE = 100;

export interface Watched {
  /** The files when watching began. */
  first: Promise<TreeEntry[]>;
  look(): Promise<TreeEntry[]>;
  /** Calls back when something may have changed; returns what ends that. */
  listen(changed: () => void): () => void;
  /** Whether a program is running, which reports no changes itself. */
  isBusy(): boolean;
  signal: AbortSignal | undefined;
}

export async function* watchTree({ first, look, listen, isBusy, signal }: Watched): AsyncGenerator<FileChange, void> {
  let news = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = () => aborted.resolve(undefined);
  const stop = listen(() => news.resolve());
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    let known = await Promise.race([first, aborted.promise]);
    while (known && !signal?.aborted) {
      news = Promise.withResolvers();
      const now = await Promise.race([look(), aborted.promise]);
      if (!now) return;
      yield* differences(known, now);
      known = now;
      const timer = isBusy() ? setTimeout(() => news.resolve(), PAUSE) : undefined;
      await Promise.race([news.promise, aborted.promise]);
      clearTimeout(timer);
    }
  } catch (error) {
    if (!(error instanceof VakError && error.code === "closed")) throw error;
  } finally {
    stop();
    signal?.removeEventListener("abort", onAbort);
  }
}

export function* differences(before: readonly TreeEntry[], now: readonly TreeEntry[]): Generator<FileChange> {
  const known = new Map(before.map((entry) => [entry.path, entry]));
  for (const { path, type, revision } of now) {
    const was = known.get(path);
    known.delete(path);
    if (!was) yield { path, change: "created" };
    else if (was.type !== type || (type !== "directory" && was.revision !== revision))
      yield { path, change: "changed" };
  }
  for (const path of known.keys()) yield { path, change: "removed" };
}
