/** Reads as much of Markdown as the documents of this project use. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Block {
  /** As in `docs/policy.md:12`. */
  where: string;
  language: string;
  /** What follows the language: `run=first refused` is `{ run: "first", refused: "" }`. */
  info: Readonly<Record<string, string>>;
  text: string;
}

export interface Document {
  /** From the project's root. */
  path: string;
  text: string;
  blocks: Block[];
}

/** README, CHANGELOG, CONTRIBUTING and everything in `docs/`. */
export function documents(): Document[] {
  const paths = readdirSync(`${root}docs`).filter((name) => name.endsWith(".md"));
  return ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", ...paths.map((name) => `docs/${name}`)].map((path) => {
    const text = readFileSync(root + path, "utf8");
    return { path, text, blocks: blocksOf(path, text) };
  });
}

function blocksOf(path: string, text: string): Block[] {
  const found = [...text.matchAll(/^```(\S*)([^\n]*)\n(.*?)^```$/gms)];
  if (found.length * 2 !== [...text.matchAll(/^```/gm)].length)
    throw new Error(`${path} has a block that is not closed`);
  return found.map(({ 1: language = "", 2: info = "", 3: content = "", index }) => ({
    where: `${path}:${text.slice(0, index).split("\n").length}`,
    language,
    info: Object.fromEntries(info.split(" ").filter(Boolean).map(keyAndValue)),
    text: content,
  }));
}

function keyAndValue(word: string): [string, string] {
  const [key = "", value = ""] = word.split("=");
  return [key, value];
}

/** The rows of the first table whose heading begins with these cells, each by its cells; without code marks. */
export function table({ path, text }: Document, ...heading: string[]): string[][] {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => heading.every((cell, i) => cellsOf(line)[i] === cell));
  if (start < 0) throw new Error(`${path} has no table | ${heading.join(" | ")} |`);
  const rows: string[][] = [];
  for (let at = start + 2; lines[at]?.startsWith("|"); at++) rows.push(cellsOf(lines[at]!));
  return rows;
}

const cellsOf = (line: string): string[] =>
  line.startsWith("|")
    ? line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", ""))
    : [];

/** What GitHub makes of a heading when it is linked to. */
export function anchors({ text }: Document): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(({ 1: title = "" }) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
