/** Merges trees three ways: what changed on one side since both were last alike is carried over to the other. */

import { type Item, ordered, sameItem, type Tree } from "./tree.ts";

/** The steps that carry one tree's changes over to another. */
export interface Steps {
  /** Paths to remove, a directory's content before the directory. */
  remove: string[];
  /** Paths to create or write, a directory before its content. */
  put: string[];
  /** Paths that changed differently in both trees, and are left alone. */
  conflicts: string[];
}

/** @param base what both trees were when they were last alike */
export function planChanges(from: Tree, to: Tree, base: Tree): Steps {
  const plan: Steps = { remove: [], put: [], conflicts: [] };
  for (const path of ordered(new Set([...from.keys(), ...base.keys()]))) {
    const [now, was, there] = [from.get(path), base.get(path), to.get(path)];
    if (sameItem(now, was) || sameItem(now, there)) continue;
    if (!sameItem(there, was)) {
      plan.conflicts.push(path);
      continue;
    }
    if (there && (there.type !== now?.type || there.type === "symlink")) plan.remove.unshift(path);
    if (now) plan.put.push(path);
  }
  return plan;
}

/** Makes what two trees have in common the base of their next merge. */
export function agree(base: Tree, one: Tree, other: Tree): void {
  for (const path of new Set([...base.keys(), ...one.keys(), ...other.keys()])) {
    const item = one.get(path);
    if (!sameItem(item, other.get(path))) continue;
    if (item) base.set(path, item);
    else base.delete(path);
  }
}

/** A tree once a plan has been carried out on it. */
export function withPlan(tree: Tree, { remove, put }: Omit<Steps, "conflicts">, from: Tree): Tree {
  const next = new Map<string, Item>(tree);
  for (const path of remove) next.delete(path);
  for (const path of put) next.set(path, from.get(path)!);
  return next;
}
