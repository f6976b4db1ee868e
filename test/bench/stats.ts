/** The statistics and tables of the benchmarks. */

/** The quantile `q`, from 0 (the smallest value) to 1 (the largest), by linear interpolation. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) return Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Formats a figure with three digits, which is already more than these measurements justify. */
export function figure(value: number, unit = ""): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(digits);
  return unit ? `${text} ${unit}` : text;
}

/** Two figures measured side by side, vak's first. */
export type Pair = readonly [ours: number, other: number];

/** The median of each side, the median and the middle half of the pairs' ratios, and the number of pairs. */
export function ratioCells(pairs: readonly Pair[], unit: string): string[] {
  const ratios = pairs.map(([ours, other]) => ours / other);
  return [
    figure(median(pairs.map(([ours]) => ours)), unit),
    figure(median(pairs.map(([, other]) => other)), unit),
    `**${figure(median(ratios))}**`,
    `${figure(quantile(ratios, 0.25))} to ${figure(quantile(ratios, 0.75))}`,
    `${pairs.length}`,
  ];
}

export interface Table {
  title: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

/** A table in Markdown, with aligned columns. */
export function formatTable({ title, head, rows }: Table): string {
  const width = head.map((cell, i) => Math.max(3, cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(width[i]!)).join(" | ")} |`;
  const rule = width.map((n, i) => (i === 0 ? "-".repeat(n) : `${"-".repeat(n - 1)}:`));
  return [`**${title}**`, "", line(head), line(rule), ...rows.map(line), ""].join("\n");
}
