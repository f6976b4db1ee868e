/** What the files of `src/` have in common: how they begin, how long they are, and how they keep things private. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const src = fileURLToPath(new URL("../../src/", import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({ path: path.replaceAll("\\", "/"), lines: readFileSync(src + path, "utf8").split("\n") }));

/** The comment with which a file begins. */
function opening(lines: readonly string[]): string {
  const text = lines.slice(lines[0]?.startsWith("#!") ? 1 : 0).join("\n");
  return /^\/\*\*[\s\S]*?\*\//.exec(text)?.[0] ?? "";
}

test("every file begins with a sentence that says what it is", () => {
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter(({ lines }) => opening(lines).length < 20).map(({ path }) => path)).toEqual([]);
});

test("a file has at most 500 lines, or says first why it has more", () => {
  const long = files.filter(({ lines }) => lines.length > 501 && !/\b(long|lines)\b/.test(opening(lines)));
  expect(long.map(({ path }) => path)).toEqual([]);
});

test("a line of a comment has at most 120 characters", () => {
  const wide = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => (/^\s*(\/\/|\/?\*)/.test(line) && line.length > 120 ? `${path}:${i + 1}` : [])),
  );
  expect(wide).toEqual([]);
});

test("what is private is so at run time: #name, never TypeScript's private", () => {
  const soft = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => (/^\s*private (?!constructor)/.test(line) ? `${path}:${i + 1}` : [])),
  );
  expect(soft).toEqual([]);
});
