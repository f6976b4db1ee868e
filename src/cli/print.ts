/** Prints text that may come from a guest: what could move the cursor, set colours or reorder text is escaped. */
import type { Problem } from "../audit/index.ts";

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export function plain(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

export const plainLines = (text: string): string => text.split("\n").map(plain).join("\n");

export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${plain(line)}\n`).join(""));
}

/** As JSON, with every unprintable character escaped. */
export function printJson(value: unknown): void {
  const spell = (char: string) =>
    Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join("");
  const json = JSON.stringify(value, null, 2).replace(UNPRINTABLE, (char) => (char === "\n" ? char : spell(char)));
  process.stdout.write(`${json}\n`);
}

/** To stderr, where stdout is JSON. A report as text has them under its verdict. */
export function printProblems(problems: readonly Problem[]): void {
  for (const { where, message } of problems) process.stderr.write(`${plain(`${where}: ${message}`)}\n`);
}
