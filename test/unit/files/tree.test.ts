import fc from "fast-check";
import { expect, test } from "vitest";
import { parseList, writeList } from "../../../src/files/persist.ts";
import {
  agree,
  Bounds,
  type Item,
  planChanges,
  sameItem,
  sameTree,
  type Tree,
  treeDigest,
} from "../../../src/files/tree.ts";
import { differences } from "../../../src/files/watch.ts";
import type { TreeEntry } from "../../../src/protocol/messages.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";

const hex = fc.constantFrom("a", "b", "c").map((c) => c.repeat(64));
const item: fc.Arbitrary<Item> = fc.oneof(
  fc.record({ type: fc.constant("file" as const), size: fc.nat(9), digest: hex }),
  fc.constant({ type: "directory" as const }),
  fc.record({ type: fc.constant("symlink" as const), target: fc.constantFrom("x", "../y") }),
);
const name = fc.constantFrom("a", "b", "a.b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
/** Trees as there can be: above each item there are directories. */
const tree: fc.Arbitrary<Tree> = fc.array(fc.tuple(path, item), { maxLength: 8 }).map((items) => {
  const tree: Tree = new Map();
  for (const [path, it] of items) {
    const above = path
      .split("/")
      .slice(0, -1)
      .map((_, i, parts) => parts.slice(0, i + 1).join("/"));
    if (above.some((one) => tree.has(one) && tree.get(one)!.type !== "directory")) continue;
    if (it.type !== "directory" && [...tree.keys()].some((one) => one.startsWith(`${path}/`))) continue;
    for (const one of above) tree.set(one, { type: "directory" });
    tree.set(path, it);
  }
  return tree;
});

/** Carries a plan out as a file system would, which refuses what makes no sense. */
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

test("where only one side changed, the other becomes like it, in steps that each make sense", () => {
  fc.assert(
    fc.property(tree, tree, (base, from) => {
      const plan = planChanges(from, base, base);
      expect(plan.conflicts).toEqual([]);
      expect(sameTree(carryOut(base, plan, from), from)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("what the other side changed is never among what is removed or written", () => {
  fc.assert(
    fc.property(tree, tree, tree, (base, from, to) => {
      const { remove, put, conflicts } = planChanges(from, to, base);
      for (const path of [...remove, ...put]) expect(sameItem(to.get(path), base.get(path))).toBe(true);
      for (const path of conflicts) {
        expect(sameItem(from.get(path), base.get(path))).toBe(false);
        expect(sameItem(to.get(path), base.get(path))).toBe(false);
        expect(sameItem(from.get(path), to.get(path))).toBe(false);
      }
      // Nothing that changed is forgotten.
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

test("a digest is that of an agent's files with the same in them", async () => {
  await fc.assert(
    fc.asyncProperty(tree, async (any) => {
      const volume = new Volume({ fileBytes: 1e6, fileCount: 1000 });
      for (const [path, it] of any) volume.seed(path, it.type === "file" ? new Uint8Array(it.size) : it);
      const told: Tree = new Map(
        volume
          .tree("", "digests")!
          .map(({ path, type, size, digest, target }) => [
            path,
            type === "file"
              ? { type, size, digest: digest! }
              : type === "symlink"
                ? { type, target: target! }
                : { type },
          ]),
      );
      expect(await treeDigest(told)).toBe(volume.sha256());
    }),
  );
});

test("a list of kept files is read as it was written, and nothing else is", () => {
  fc.assert(
    fc.property(tree, (any) => {
      for (const labels of [[], ["a", "b"]]) {
        expect(parseList(writeList(any, labels))).toEqual({ tree: any, labels });
      }
    }),
  );
  const encoder = new TextEncoder();
  const refused = { code: "files-unavailable" };
  const digest = "0".repeat(64);
  for (const bad of [
    "",
    "{}",
    "null",
    '{"files":[]}',
    '{"labels":["b","a"],"files":[]}',
    '{"labels":[7],"files":[]}',
    "[1]",
    "[[]]",
    '[["a"]]',
    '[["a","x"]]',
    '[["a","d",1]]',
    '[["a","f",-1,"x"]]',
    `[["a","f",1.5,"${digest}"]]`,
    `[["a","f",1,"${digest}","more"]]`,
    `[["a","f",1,"${digest.toUpperCase()}Z"]]`,
    '[["a","l"]]',
    '[["a","l",7]]',
    `[["a","l","${"x".repeat(5000)}"]]`,
    '[["a","d"],["a","d"]]',
    '[[7,"d"]]',
  ]) {
    const list = bad === "" || /^[{n]/.test(bad) ? bad : `{"labels":[],"files":${bad}}`;
    expect(() => parseList(encoder.encode(list)), bad).toThrow(expect.objectContaining(refused));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        parseList(bytes);
      } catch (error) {
        expect(error).toMatchObject(refused);
      }
    }),
  );
});

test("bounds: n bytes and n names, and no path that an agent cannot have", () => {
  const bounds = new Bounds("m", 5, 2);
  bounds.take("a", 5);
  bounds.take("b", 0);
  const refused = expect.objectContaining({ code: "files-unavailable" });
  expect(() => bounds.take("c")).toThrow(refused);
  expect(() => new Bounds("m", 5, 2).take("a", 6)).toThrow(refused);
  const long = "x".repeat(256);
  const deep = Array(64).fill("d").join("/");
  for (const path of ["", "a//b", "..", "a/..", ".", "a\0b", long, "é".repeat(128), deep, "\ud800"]) {
    expect(() => new Bounds("m", 5, 9).take(path), path).toThrow(refused);
  }
  expect(() => new Bounds("", 5, 9).take("dev/x")).toThrow(refused);
  new Bounds("m", 5, 9).take("dev/x");
});

test("differences: created, changed, removed; a directory is not changed by what is in it", () => {
  const entry = (path: string, revision: number, type: TreeEntry["type"] = "file") => ({
    path,
    type,
    size: 0,
    revision,
  });
  const before = [entry("a", 1), entry("b", 2), entry("c", 3), entry("d", 4, "directory"), entry("e", 5)];
  const now = [entry("a", 1), entry("b", 7), entry("d", 8, "directory"), entry("e", 5, "directory"), entry("f", 9)];
  expect([...differences(before, now)]).toEqual([
    { path: "b", change: "changed" },
    { path: "e", change: "changed" },
    { path: "f", change: "created" },
    { path: "c", change: "removed" },
  ]);
});
