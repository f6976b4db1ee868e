/** Trees of browser_wasi_shim as an agent's first files. */
import { ConsoleStdout, Directory, File, OpenDirectory, OpenFile, PreopenDirectory } from "@bjorn3/browser_wasi_shim";
import { describe, expect, test } from "vitest";
import { checkFiles, type FirstFiles, flattener } from "../../../src/kernel/first-files.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/limits.ts";
import { MAX_DEPTH } from "../../../src/protocol/bounds.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const given = async (files: FirstFiles, limits: Partial<Limits> = {}) =>
  checkFiles(files, { ...DEFAULT_LIMITS, ...limits }, [], await flattener([files]));
const refused = async (files: unknown, message: RegExp | string, limits: Partial<Limits> = {}) => {
  const refusal = expect.objectContaining({ code: "invalid-argument", message: expect.stringMatching(message) });
  await expect(given(files as FirstFiles, limits)).rejects.toEqual(refusal);
};

/** A tree with a file, a file in a directory, and an empty directory. */
const contents = () =>
  new Map<string, File | Directory>([
    ["a.txt", new File(utf8("one"))],
    ["d", new Directory(new Map([["b", new File([1, 2], { readonly: true })]]))],
    ["empty", new Directory([])],
  ]);
const flat = { "a.txt": utf8("one"), "d/b": Uint8Array.of(1, 2), empty: { type: "directory" } };

describe("the trees of browser_wasi_shim are an agent's first files", () => {
  test("as all of them: the contents of a directory, a Directory, a PreopenDirectory", async () => {
    const preopen = new PreopenDirectory("/", contents());
    for (const files of [contents(), new Directory(contents()), preopen, preopen.dir, preopen.dir.contents]) {
      expect((await given(files)).files).toEqual(flat);
    }
  });

  test("as some of them, beside text and bytes, in the order given", async () => {
    const { files } = await given({
      "in.txt": "text",
      one: new File(utf8("1")),
      tree: new Directory(contents()),
      "deep/er": contents(),
      pre: new PreopenDirectory("/ignored", contents()),
      none: new Map(),
    });
    const below = (at: string) =>
      Object.fromEntries(Object.entries(flat).map(([path, data]) => [`${at}/${path}`, data]));
    const expected = {
      "in.txt": utf8("text"),
      one: utf8("1"),
      ...{ ...below("tree"), ...below("deep/er"), ...below("pre") },
      none: { type: "directory" },
    };
    expect(files).toEqual(expected);
    expect(Object.keys(files)).toEqual(Object.keys(expected));
  });

  test("with labels, which the agent then has", async () => {
    const { files, labels } = await given({ tree: { data: new Directory(contents()), labels: ["secret"] } });
    expect(Object.keys(files)).toEqual(["tree/a.txt", "tree/d/b", "tree/empty"]);
    expect(labels).toEqual(["secret"]);
  });

  test("attack: labels that a tree hides are refused, since they would be lost", async () => {
    const secret = Object.assign(new File(utf8("1")), { labels: ["secret"] });
    const dir = Object.assign(new Directory(contents()), { labels: ["secret"] });
    const bare = { data: utf8("1"), readonly: true, labels: ["secret"] };
    for (const inner of [secret, dir, bare]) {
      const tree = new Map([["inner", inner]]);
      for (const files of [tree, { tree }, { tree: { data: tree, labels: ["other"] } }]) await refused(files, /labels/);
    }
    await refused(dir, /labels/);
    await refused({ tree: { data: new Directory(contents()), labels: null } }, /labels/);
    expect((await given({ secret })).labels).toEqual(["secret"]);
  });

  test("attack: bytes whose buffer was transferred are refused with a reason", async () => {
    const bytes = new Uint8Array(4);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    const tree = new Map([["a", Object.assign(new File([]), { data: bytes })]]);
    for (const files of [tree, { a: bytes }, { a: bytes.buffer }, { a: { data: bytes, labels: ["x"] } }]) {
      await refused(files, /transferred/);
    }
  });

  test("by their shape: those of another copy of the package too, and with names that only look like its properties", async () => {
    class Inode {
      stat = () => ({});
    }
    class Other extends Inode {
      contents = new Map([["x", Object.assign(new Inode(), { data: utf8("x"), readonly: false })]]);
    }
    expect((await given(new Other())).files).toEqual({ x: utf8("x") });
    expect((await given({ contents: new Map([["x", new File(utf8("x"))]]) })).files).toEqual({
      "contents/x": utf8("x"),
    });
    expect((await given({ data: new File(utf8("x")), dir: "text" })).files).toEqual({
      data: utf8("x"),
      dir: utf8("text"),
    });
  });

  test("as copies: the shim's file and the agent's change independently", async () => {
    const file = new File(utf8("one"));
    const { files } = await given({ a: file });
    file.data[0] = 0;
    expect(files.a).toEqual(utf8("one"));
  });

  test("one file at two places is two files", async () => {
    const shared = new Directory([["x", new File(utf8("x"))]]);
    expect(Object.keys((await given({ a: shared, b: shared })).files)).toEqual(["a/x", "b/x"]);
  });
});

describe("refused, with the path and what is accepted", () => {
  const accepted = "File, Directory, PreopenDirectory and a Map";

  test("descriptors that are open, consoles, and what else a directory may hold", async () => {
    const file = new File([]);
    const wrong = [new OpenFile(file), new OpenDirectory(new Directory([])), new ConsoleStdout(() => {})];
    for (const value of wrong) {
      await refused({ "in/it": value }, `The file "in/it" is of the class ${value.constructor.name}.*${accepted}`);
      await refused(new Map([["it", value]]), `The file "it" is .*${accepted}`);
      await refused(value, /^files is of the class/);
    }
    for (const value of ["text", null, 7, {}, utf8("x"), { type: "directory" }]) {
      await refused(new Map([["d", new Map([["it", value]])]]), `The file "d/it" is .*${accepted}`);
    }
    await refused(file, /^files is of the class File; give paths, or a Directory/);
  });

  test("a file of the origin private file system, which has a handle in place of bytes", async () => {
    class SyncOPFSFile {
      handle = {};
      readonly = false;
      path_open() {}
    }
    await refused({ it: new SyncOPFSFile() }, `The file "it" is of the class SyncOPFSFile.*${accepted}`);
  });

  test("names that no path can have", async () => {
    for (const name of ["", "a/b", "x".repeat(256), "é".repeat(128), 7]) {
      await refused({ d: new Map([[name, new File([])]]) }, /^The directory "d" has an entry named/);
    }
    for (const name of [".", "..", "a\0b", "\ud800"]) {
      await refused({ d: new Map([[name, new File([])]]) }, /is not a path of an agent's file/);
    }
    await refused(new Map([["dev", new Directory([["vak", new File([])]])]]), /is not a path of an agent's file/);
    await refused({ "": new Directory(contents()) }, /./);
  });

  test("attack: a directory that contains itself", async () => {
    const ring = new Directory([]);
    ring.contents.set("down", new Directory(new Map([["again", ring]])));
    await refused({ ring }, /^The directory "ring\/down\/again" contains itself/);
  });

  test("attack: directories nested without end", async () => {
    let nested = new Directory([]);
    for (let depth = 1; depth < MAX_DEPTH; depth++) nested = new Directory([["d", nested]]);
    expect(Object.keys((await given({ d: nested })).files)).toEqual([Array(MAX_DEPTH).fill("d").join("/")]);
    await refused({ d: new Directory([["d", nested]]) }, /is nested deeper than 64 directories/);
  });

  test("attack: a small tree that names one directory again and again, and so comes to billions of files", async () => {
    let many = new Directory([["f", new File([])]]);
    for (let depth = 0; depth < 30; depth++) many = new Directory(["a", "b", "c"].map((name) => [name, many]));
    await refused({ many }, "limits.fileCount, which is 1000", { fileCount: 1000 });
  });

  test("attack: more bytes than the agent may have, before any are copied", async () => {
    const big = new File(new Uint8Array(2 ** 20));
    const tree = new Directory(Array.from({ length: 1000 }, (_, n) => [`${n}`, big]));
    await refused({ tree }, "limits.fileBytes, which is 8388608", { fileBytes: 2 ** 23 });
  });
});
