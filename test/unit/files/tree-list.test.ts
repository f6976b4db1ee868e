/** The lists in which kept files are recorded. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseList, writeList } from "../../../src/files/tree-list.ts";
import { trees } from "./trees.ts";

test("a list of kept files reads as it was written, and anything else is refused", () => {
  fc.assert(
    fc.property(trees, (any) => {
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
