/** Three-way merges of random trees. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { agree, planChanges } from "../../../src/files/merge.ts";
import { sameItem, sameTree, type Tree } from "../../../src/files/tree.ts";
import { trees } from "./trees.ts";

/** Carries out a plan as a file system would, which refuses impossible steps. */
function carryOut(to: Tree, { remove, put }: { remove: string[]; put: string[] }, from: Tree): Tree {
  const next = new Map(to);
  for (const path of remove) {
    expect([...next.keys()].filter((one) => one.startsWith(`${path}/`))).toEqual([]);
    expect(next.delete(path)).toBe(true);
  }
  for (const path of put) {
    const above = path.split("/").slice(0, -1).join("/");
    if (above !== "") expect(next.get(above)).toEqual({ type: "directory" });
    const there = next.get(path);
    if (there) expect([there.type, from.get(path)!.type]).toEqual(["file", "file"]);
    next.set(path, from.get(path)!);
  }
  return next;
}

test("if only one side changed, the plan makes the other side equal to it, in possible steps", () => {
  fc.assert(
    fc.property(trees, trees, (base, from) => {
      const plan = planChanges(from, base, base);
      expect(plan.conflicts).toEqual([]);
      expect(sameTree(carryOut(base, plan, from), from)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("what the other side changed is never removed or overwritten, and every change is in the plan", () => {
  fc.assert(
    fc.property(trees, trees, trees, (base, from, to) => {
      const { remove, put, conflicts } = planChanges(from, to, base);
      for (const path of [...remove, ...put]) expect(sameItem(to.get(path), base.get(path))).toBe(true);
      for (const path of conflicts) {
        expect(sameItem(from.get(path), base.get(path))).toBe(false);
        expect(sameItem(to.get(path), base.get(path))).toBe(false);
        expect(sameItem(from.get(path), to.get(path))).toBe(false);
      }
      for (const path of new Set([...from.keys(), ...base.keys()])) {
        if (sameItem(from.get(path), base.get(path)) || sameItem(from.get(path), to.get(path))) continue;
        expect([...remove, ...put, ...conflicts]).toContain(path);
      }
      const next = new Map(base);
      agree(next, from, to);
      for (const [path, it] of next) {
        expect(sameItem(it, base.get(path)) || (sameItem(it, from.get(path)) && sameItem(it, to.get(path)))).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
