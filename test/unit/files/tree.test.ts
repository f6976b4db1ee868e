/** The digest of a tree, and the differences between two looks at one. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Tree, treeDigest } from "../../../src/files/tree.ts";
import { differences } from "../../../src/files/watch.ts";
import type { TreeEntry } from "../../../src/protocol/messages.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";
import { trees } from "./trees.ts";

test("a tree's digest is that of an agent with the same files", async () => {
  await fc.assert(
    fc.asyncProperty(trees, async (any) => {
      const volume = new Volume({ fileBytes: 1e6, fileCount: 1000 });
      for (const [path, it] of any) volume.seed(path, it.type === "file" ? new Uint8Array(it.size) : it);
      const reported: Tree = new Map(
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
      expect(await treeDigest(reported)).toBe(volume.sha256());
    }),
  );
});

test("files are created, changed or removed; a directory does not change with its content", () => {
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
