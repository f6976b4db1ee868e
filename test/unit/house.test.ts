/**
 * What files have in common: how they begin and how wide their comments are; and in `src/`, how long they are and how
 * they keep things private.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** The files of a folder that people write. */
const filesIn = (folder: string) =>
  readdirSync(root + folder, { recursive: true, encoding: "utf8" })
    .map((path) => `${folder}/${path.replaceAll("\\", "/")}`)
    .filter((path) => /\.(ts|mjs|js|css)$/.test(path) && !/\/(\.cache|out|node_modules)\//.test(path))
    .map((path) => ({ path, lines: readFileSync(root + path, "utf8").split("\n") }));
const files = filesIn("src");
const everywhere = ["build", "demo", "scripts", "src", "test"].flatMap(filesIn);

/** The comment with which a file begins. */
function opening(lines: readonly string[]): string {
  const text = lines.slice(lines[0]?.startsWith("#!") ? 1 : 0).join("\n");
  return /^\/\*\*[\s\S]*?\*\//.exec(text)?.[0] ?? "";
}

test("every file begins with a sentence that says what it is", () => {
  expect(files.length).toBeGreaterThan(100);
  expect(everywhere.filter(({ lines }) => opening(lines).length < 20).map(({ path }) => path)).toEqual([]);
});

test("a file has at most 500 lines, or says first why it has more", () => {
  const long = files.filter(({ lines }) => lines.length > 501 && !/\b(long|lines)\b/.test(opening(lines)));
  expect(long.map(({ path }) => path)).toEqual([]);
});

test("a line of a comment has at most 120 characters", () => {
  const wide = everywhere.flatMap(({ path, lines }) =>
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
