/** Benchmark of the meter: how much slower metered programs run, and how long rewriting takes. */
import type { Section } from "../harness.ts";
import type { Kernel, Metering } from "../page/meter.ts";
import { figure, median, ratioCells, type Table } from "../stats.ts";
import { buildKernels } from "./kernels.ts";

type Row = Record<Metering, number>;

/** What is compared with the plain program: its name, and the targets for kernels, CPython and SQLite. */
const meterings: [Exclude<Metering, "plain">, string, string, string, string][] = [
  ["trap", "fuel, trap only", "", "", ""],
  ["resumable", "fuel, resumable", "≤ 1.05, ≤ 1.5", "≤ 1.20", "≤ 1.30"],
  ["depth", "… and a depth limit", "+ 0.10", "", ""],
  ["nan", "resumable, and NaN made canonical", "+ 0.07", "", ""],
  ["all", "all of these", "", "", ""],
];

/** 15 kernels, CPython and SQLite, metered and unmetered in turn on one page; and the rewriting of CPython. */
export const meter: Section = {
  name: "meter",
  where: "browser",
  async measure({ browser, times, launch }) {
    const program = await buildKernels();
    const kernels: Partial<Record<Kernel, Row[]>> = {};
    const python: Row[] = [];
    const sqlite: Row[] = [];
    const cold: number[] = [];
    const warm: number[] = [];
    const validating: number[] = [];
    let code = {} as Row;
    for (let i = 0; i < times(3, 1); i++) {
      await using browser = await launch();
      {
        await using tab = await browser.visit("meter");
        const rewriting = await tab.call("rewriting", times(8, 4));
        code = rewriting.code;
        cold.push(rewriting.took[0]);
        warm.push(...rewriting.took.slice(1));
        validating.push(...rewriting.validating);
      }
      {
        await using tab = await browser.visit("meter");
        const took: Record<Kernel, Row[]> = await tab.call("kernels", program, times(5, 3));
        for (const [kernel, rows] of Object.entries(took) as [Kernel, Row[]][]) {
          kernels[kernel] = [...(kernels[kernel] ?? []), ...rows];
        }
      }
      {
        await using tab = await browser.visit("meter");
        python.push(...(await tab.call("python", times(4, 2))));
      }
      await using tab = await browser.visit("meter");
      sqlite.push(...(await tab.call("sqlite", times(4, 2))));
    }
    return [
      kernelTable(browser, kernels as Record<Kernel, Row[]>),
      programTable(`meter, ${browser}: a script in CPython`, python, 3),
      programTable(`meter, ${browser}: a script in SQLite`, sqlite, 4),
      rewritingTable(browser, { cold, warm, validating, code }),
    ];
  },
};

function kernelTable(browser: string, kernels: Record<Kernel, Row[]>): Table {
  const rows = meterings.map(([set, name, target]) => {
    const ratios = Object.entries(kernels).map(
      ([kernel, rows]) => [kernel, median(rows.map((row) => row[set] / row.plain))] as const,
    );
    const most = ratios.reduce((one, other) => (other[1] > one[1] ? other : one));
    const withoutFib = ratios.filter(([kernel]) => kernel !== "fib");
    const fib = ratios.find(([kernel]) => kernel === "fib");
    return [
      name,
      `**${geomean(ratios).toFixed(3)}**`,
      `${figure(most[1])} (${most[0]})`,
      geomean(withoutFib).toFixed(3),
      figure(fib?.[1] ?? Number.NaN),
      `${kernels.fib.length}`,
      target,
    ];
  });
  const head = ["metered for", "geomean", "max", "without fib", "fib (naive recursion)", "pairs of each", "target"];
  return { title: `meter, ${browser}: ${Object.keys(kernels).length} C kernels, metered / plain`, head, rows };
}

/** @param target the index of the target in each of {@link meterings} */
function programTable(title: string, rows: Row[], target: 3 | 4): Table {
  const head = ["metered for", "metered", "plain", "ratio", "middle half", "pairs", "target"];
  const cells = (set: Metering) =>
    ratioCells(
      rows.map((row) => [row[set], row.plain]),
      "ms",
    );
  return { title, head, rows: meterings.map((metering) => [metering[1], ...cells(metering[0]), metering[target]]) };
}

const geomean = (ratios: (readonly [string, number])[]) =>
  Math.exp(ratios.reduce((sum, [, ratio]) => sum + Math.log(ratio), 0) / ratios.length);

interface Rewriting {
  cold: number[];
  warm: number[];
  validating: number[];
  code: Row;
}

function rewritingTable(browser: string, { cold, warm, validating, code }: Rewriting): Table {
  const net = median(warm) - median(validating);
  const size = (set: Metering) => figure(code[set] / code.plain);
  const rows = [
    ["the first time in a page, with validation", figure(median(cold), "ms"), "≤ 150 ms"],
    ["later, with validation", figure(median(warm), "ms"), ""],
    ["validation alone", figure(median(validating), "ms"), ""],
    ["code per second, without validation", figure(code.plain / 1e3 / net, "MB/s"), "≥ 100 MB/s"],
    ["code, metered for fuel, resumable / plain", size("resumable"), "≤ 1.5"],
    ["code, metered for all / plain", size("all"), ""],
  ];
  const title = `meter, ${browser}: rewriting CPython, ${figure(code.plain / 1e6)} MB of code`;
  return { title, head: ["rewriting", "measured", "target"], rows };
}
