/** Random trees of files. */
import fc from "fast-check";
import type { Item, Tree } from "../../../src/files/tree.ts";

const hex = fc.constantFrom("a", "b", "c").map((c) => c.repeat(64));
const item: fc.Arbitrary<Item> = fc.oneof(
  fc.record({ type: fc.constant("file" as const), size: fc.nat(9), digest: hex }),
  fc.constant({ type: "directory" as const }),
  fc.record({ type: fc.constant("symlink" as const), target: fc.constantFrom("x", "../y") }),
);
const name = fc.constantFrom("a", "b", "a.b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
/** Trees that can exist: every item is in a directory. */
export const trees: fc.Arbitrary<Tree> = fc.array(fc.tuple(path, item), { maxLength: 8 }).map((items) => {
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
