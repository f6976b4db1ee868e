/** Zips: written, read, refused. */
import fc from "fast-check";
import { zipSync } from "fflate";
import { describe, expect, test, vi } from "vitest";
import { zipFiles } from "../../../src/audit/bundle-writing.ts";
import { openBundle } from "../../../src/audit/zip.ts";
import { VakError } from "../../../src/errors.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const MANY = 10_000_000;

async function zipped(files: Record<string, string>): Promise<Uint8Array<ArrayBuffer>> {
  async function* each() {
    for (const [path, text] of Object.entries(files)) yield { path, bytes: utf8(text) };
  }
  return new Uint8Array(await (await zipFiles(each())).arrayBuffer());
}

async function readAll(zip: Uint8Array<ArrayBuffer>): Promise<Record<string, string>> {
  const bundle = await openBundle(zip);
  const files: Record<string, string> = {};
  for (const path of await bundle.paths()) {
    files[path] = new TextDecoder().decode(await bundle.read(path, MANY));
  }
  return files;
}

async function refusal(zip: Uint8Array<ArrayBuffer>): Promise<string> {
  const error = await readAll(zip).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(VakError);
  return (error as VakError).message;
}

/** Changes bytes of a zip, at an offset from the n-th occurrence of `signature`. */
function edit(zip: Uint8Array<ArrayBuffer>, signature: string, nth: number, at: number, bytes: number[]) {
  const text = String.fromCharCode(...zip);
  let found = -1;
  for (let i = 0; i <= nth; i++) found = text.indexOf(signature, found + 1);
  expect(found).toBeGreaterThanOrEqual(0);
  const copy = zip.slice();
  copy.set(bytes, found + at);
  return copy;
}
const LOCAL = "PK\x03\x04";
const CENTRAL = "PK\x01\x02";
const END = "PK\x05\x06";

describe("zips", () => {
  test("are read as they were written, from memory, a Blob or pieces", async () => {
    const files = { checkpoint: "one", "tile/0/000.p/1": "", "values/3.json": "x".repeat(100_000) };
    const zip = await zipped(files);
    expect(await readAll(zip)).toEqual(files);
    const reads: number[] = [];
    const bundle = await openBundle({
      size: zip.length,
      read: async (start, end) => {
        reads.push(end - start);
        return zip.slice(start, end);
      },
    });
    expect(await bundle.read("checkpoint", 10)).toEqual(utf8("one"));
    expect(await bundle.read("other", 10)).toBeUndefined();
    expect(Math.max(...reads)).toBeLessThan(70_000);
    expect(await (await openBundle(new Blob([zip]))).read("checkpoint", 10)).toEqual(utf8("one"));
    expect(await (await openBundle(zip.buffer)).read("checkpoint", 10)).toEqual(utf8("one"));
    await expect(bundle.read("checkpoint", 2)).rejects.toThrow("checkpoint has 3 bytes; at most 2 are read");
  });

  test("in a blob of at most 1 MiB are read at once; of a larger one, only the parts that are needed", async () => {
    const overhead = (await zipped({ checkpoint: "one", large: "" })).length;
    const read = async (bytes: number) => {
      const blob = new Blob([await zipped({ checkpoint: "one", large: "x".repeat(bytes - overhead) })]);
      expect(blob.size).toBe(bytes);
      const whole = vi.spyOn(blob, "arrayBuffer");
      const slice = vi.spyOn(blob, "slice");
      const bundle = await openBundle(blob);
      expect(await bundle.read("checkpoint", 10)).toEqual(utf8("one"));
      const slices = slice.mock.calls.map(([start = 0, end = bytes]) => end - start);
      expect((await bundle.read("large", MANY))?.length).toBe(bytes - overhead);
      return { whole: whole.mock.calls.length, slices };
    };
    expect(await read(2 ** 20)).toEqual({ whole: 1, slices: [] });
    const { whole, slices } = await read(2 ** 20 + 1);
    expect(whole).toBe(0);
    expect(slices.length).toBeGreaterThan(0);
    expect(Math.max(...slices)).toBeLessThanOrEqual(70_000);
  });

  test("made by other tools are read: compressed, with directories and a comment", async () => {
    const zip = zipSync(
      { tile: { "0": { "000": utf8("a".repeat(5000)) } }, checkpoint: utf8("c") },
      { level: 9, comment: "by hand" },
    );
    expect(zip.length).toBeLessThan(1000);
    const commented = new Uint8Array([...zip, ...utf8("hello")]);
    new DataView(commented.buffer).setUint16(zip.length - 2, 5, true);
    expect(await readAll(commented)).toEqual({ "tile/0/000": "a".repeat(5000), checkpoint: "c" });
    const withFolder = zipSync({ "tile/": new Uint8Array(), "tile/x": utf8("x") });
    expect(await readAll(withFolder)).toEqual({ "tile/x": "x" });
  });

  test.each(["../x", "/x", "a/../b", "a\\b", "C:x", "a//b", "./a", "é", "a\u0000b", "x".repeat(201), ".git", "a b"])(
    "refused: a file called %j",
    async (path) => {
      expect(await refusal(zipSync({ [path]: utf8("x") }))).toContain("not a path");
    },
  );

  test("refused: the same name twice", async () => {
    const zip = await zipped({ aa: "1", ab: "2" });
    expect(await refusal(edit(edit(zip, CENTRAL, 1, 46, [97, 97]), LOCAL, 1, 30, [97, 97]))).toContain(
      "holds aa twice",
    );
  });

  test("refused: another name or method in a file's own header", async () => {
    const zip = await zipped({ aa: "1", ab: "2" });
    expect(await refusal(edit(zip, LOCAL, 1, 30, [97, 99]))).toContain(
      "ab has another name or method in its own header",
    );
    expect(await refusal(edit(zip, LOCAL, 1, 8, [8]))).toContain("ab has another name or method in its own header");
  });

  test("refused: files that overlap, as in a bomb that lists the same bytes as many files", async () => {
    const zip = await zipped({ aa: "1".repeat(50), ab: "2" });
    expect(await refusal(edit(zip, CENTRAL, 1, 42, [0, 0, 0, 0]))).toContain("overlaps");
    expect(await refusal(edit(zip, CENTRAL, 1, 42, [0xff, 0xff, 0, 0]))).toContain("does not fit");
  });

  test("refused: a file that unpacks to more or fewer bytes than the directory says", async () => {
    const zip = zipSync({ aa: utf8("a".repeat(5000)) });
    for (const size of [4999, 5001, 0]) {
      const lied = edit(zip, CENTRAL, 0, 24, [size & 0xff, size >> 8, 0, 0]);
      expect(await refusal(lied)).toContain(`does not unpack to its ${size} bytes`);
    }
    const stored = await zipped({ aa: "12345" });
    expect(await refusal(edit(stored, CENTRAL, 0, 24, [6]))).toContain("two sizes");
  });

  test("refused: a bomb, before anything of it is unpacked", async () => {
    const zip = zipSync(Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`f${i}`, new Uint8Array(1000)])));
    let bomb = zip;
    for (let i = 0; i < 5; i++) bomb = edit(bomb, CENTRAL, i, 24, [0xff, 0xff, 0xff, 0xfe]);
    expect(await refusal(bomb)).toContain("would unpack to more than");
    await expect((await openBundle(edit(zip, CENTRAL, 0, 24, [0, 0, 0, 0x40]))).read("f0", MANY)).rejects.toThrow(
      "at most",
    );
  });

  test("refused: encrypted, of several parts, in an unknown method, Zip64, cut short, nothing", async () => {
    const zip = await zipped({ aa: "1" });
    expect(await refusal(edit(zip, CENTRAL, 0, 8, [1]))).toContain("encrypted");
    expect(await refusal(edit(zip, CENTRAL, 0, 10, [12]))).toContain("unknown method");
    expect(await refusal(edit(zip, END, 0, 4, [1]))).toContain("one part of several");
    expect(await refusal(edit(zip, END, 0, 8, [0xff, 0xff, 0xff, 0xff]))).toContain("Zip64");
    expect(await refusal(edit(zip, END, 0, 16, [0xff, 0xff, 0]))).toContain("does not fit");
    expect(await refusal(edit(zip, CENTRAL, 0, 28, [0xff, 0xff]))).toContain("malformed");
    expect(await refusal(edit(zip, CENTRAL, 0, 0, [0]))).toContain("malformed");
    for (let length = 0; length < zip.length; length++) {
      expect(await refusal(zip.slice(0, length))).toContain("not a zip");
    }
  });

  test("any byte changed: read, or refused with a VakError", async () => {
    const zip = new Uint8Array([...(await zipped({ aa: "12345" }))]);
    const packed = new Uint8Array(zipSync({ aa: utf8("a".repeat(300)), "b/c": utf8("b") }));
    for (const original of [zip, packed]) {
      await fc.assert(
        fc.asyncProperty(fc.nat(original.length - 1), fc.nat(255), async (at, value) => {
          const copy = original.slice();
          copy[at] = value;
          await readAll(copy).catch((error: unknown) => expect(error).toBeInstanceOf(VakError));
        }),
        { numRuns: 1000 },
      );
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), async (bytes) => {
        await readAll(new Uint8Array(bytes)).catch((error: unknown) => expect(error).toBeInstanceOf(VakError));
      }),
    );
  });
});
