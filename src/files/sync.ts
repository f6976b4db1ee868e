/**
 * Carries changes between a mount in an agent's files and its source: loads them before a run, and saves them after
 * it. What was changed on both sides is left alone on both.
 */

import type { Draft } from "../audit/entry.ts";
import type { MountRef } from "../audit/vocabulary/mount.ts";
import { clip } from "../base/clip.ts";
import { within } from "../base/time.ts";
import { VakError } from "../errors.ts";
import type { SeedFile, TreeEntry } from "../protocol/messages.ts";
import type { Bounds } from "./bounds.ts";
import { agree, planChanges, withPlan } from "./merge.ts";
import { refusal, unavailable } from "./mount-errors.ts";
import type { Failure, Source } from "./source.ts";
import { itemOf, join, sameTree, type Tree, treeDigest, treeOf } from "./tree.ts";

/** The files of the agent that has the mounts, in its worker. Whatever is put or removed is recorded. */
export interface Files {
  tree(path: string): Promise<TreeEntry[] | null>;
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  put(path: string, file: SeedFile): Promise<void>;
  remove(path: string): Promise<void>;
  /** The labels of what the agent has read so far. */
  labels(): readonly string[];
  /** Labels the agent before it gets data with these labels: they apply to each of its calls from here on. */
  label(labels: readonly string[]): Promise<unknown>;
}

type WithoutAgent<T> = T extends unknown ? Omit<T, "agent"> : never;
type MountDraft = WithoutAgent<Extract<Draft, { type: "mount-read" | "mount-write" | "mount-written" }>>;
/** Appends an entry to the log. @throws VakError `log-unavailable`; `files-denied` if the agent may no longer write */
export type Note = (entry: MountDraft) => Promise<{ seq: number }>;

/** Milliseconds that a source has to answer: a disk that is gone may never do so. */
const ANSWER_MS = 60_000;

/** How many names a message lists, and the length of the longest message in the log, in UTF-16 units. */
const MAX_NAMES = 5;
const MAX_MESSAGE = 1000;

/** A mount that is open. */
export interface OpenMount {
  /** From the root, such as `data`; empty for the root itself. */
  path: string;
  readOnly: boolean;
  quotaBytes: number;
  ref: MountRef;
  source: Source | undefined;
  /** What the agent and the source had when they last agreed, path by path. */
  base: Tree;
  bounds: () => Bounds;
}

/** What the agent has in a mount, as its worker reports it; what no agent can have is refused. */
async function ownTree({ path, bounds }: OpenMount, files: Files): Promise<Tree> {
  const entries = (await files.tree(path)) ?? [];
  const limits = bounds();
  for (const { path, type, size } of entries) limits.take(path, type === "file" ? size : 0);
  return treeOf(entries);
}

export async function loadMount(mount: OpenMount, source: Source, files: Files, note: Note): Promise<void> {
  const { path, base, bounds, ref } = mount;
  const found = await inTime(`the mount /${path}`, source.read(base, bounds));
  if (sameTree(found.tree, base)) return;
  const own = await ownTree(mount, files);
  const plan = planChanges(found.tree, own, base);
  agree(base, found.tree, own);
  if (plan.remove.length + plan.put.length === 0) return;
  const next = withPlan(own, plan, found.tree);
  await files.label(found.labels ?? []);
  await note({ type: "mount-read", mount: ref.path, digest: await treeDigest(next) });
  for (const below of plan.remove) {
    await files.remove(join(path, below));
    base.delete(below);
  }
  for (const below of plan.put) {
    const item = found.tree.get(below)!;
    await files.put(join(path, below), item.type === "file" ? found.contents.get(below)! : item);
    base.set(below, item);
  }
}

export async function saveMount(mount: OpenMount, source: Source, files: Files, note: Note): Promise<void> {
  const { path, base, bounds, ref, quotaBytes } = mount;
  const own = await ownTree(mount, files);
  if (sameTree(own, base)) return;
  const there = (await inTime(`the mount /${path}`, source.read(base, bounds))).tree;
  const { remove, put: paths, conflicts } = planChanges(own, there, base);
  agree(base, own, there);
  const put = new Map<string, SeedFile>();
  let bytes = 0;
  for (const below of paths) {
    const item = own.get(below)!;
    const file = item.type === "file" ? await files.read(join(path, below)) : item;
    // What was just read is what gets written, whatever the worker reported before.
    own.set(below, await itemOf(file));
    bytes += file instanceof Uint8Array ? file.byteLength : 0;
    if (bytes > quotaBytes)
      throw unavailable(
        `The mount /${path} would hold more than its quotaBytes, ${quotaBytes}: raise it, or remove files.`,
      );
    put.set(below, file);
  }
  const failures: Failure[] = conflicts.map((path) => ({ path, conflict: true, why: "it was changed there too" }));
  if (remove.length + put.size > 0) {
    const tree = withPlan(there, { remove, put: paths }, own);
    const [previous, digest] = [await treeDigest(there), await treeDigest(tree)];
    const counts = { written: put.size, removed: remove.length };
    const { seq } = await note({ type: "mount-write", mount: ref.path, previous, digest, ...counts });
    let failed: Failure[] = [];
    let error: VakError | undefined;
    try {
      failed = await inTime(`the mount /${path}`, source.write!({ remove, put, tree, labels: files.labels() }));
    } catch (cause) {
      error = refusal(`the mount /${path}`, cause);
    }
    for (const failure of failed) failures.push(failure);
    const wrong = error?.message ?? (failed.length > 0 ? notWritten(path, failed) : undefined);
    const message = wrong === undefined ? null : clip(wrong, MAX_MESSAGE);
    await note({ type: "mount-written", writeOf: seq, status: message === null ? "ok" : "error", message });
    if (error) throw error;
    const missed = new Set(failed.map(({ path }) => path));
    for (const below of remove) if (!missed.has(below)) base.delete(below);
    for (const below of paths) if (!missed.has(below)) base.set(below, own.get(below)!);
  }
  if (failures.length === 0) return;
  const code = failures.some(({ conflict }) => conflict) ? "files-conflict" : "files-unavailable";
  throw new VakError(code, notWritten(path, failures));
}

function notWritten(path: string, failures: readonly { path: string; why: string }[]): string {
  const names = failures.slice(0, MAX_NAMES).map(({ path, why }) => `${JSON.stringify(path)} (${why})`);
  const more = failures.length > MAX_NAMES ? ` and ${failures.length - MAX_NAMES} more` : "";
  return (
    `Not everything in the mount /${path} was written: ${names.join(", ")}${more}. ` +
    "Both sides keep their own version: make the two alike, or remove one."
  );
}

export const inTime = <T>(where: string, work: Promise<T>): Promise<T> =>
  within(ANSWER_MS, work, () =>
    unavailable(`${where} did not answer for ${ANSWER_MS} ms: check the disk, then try again.`),
  );
