/**
 * `npm run support`: writes the support matrix in docs/support.md, from the results of the last `npm test` in each
 * browser. `--check` only reports whether the page is up to date, and fails if it is not.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ISOLATED_IN_WEBKIT } from "./projects.mjs";

/** @typedef {import("../test/setup/report.ts").Report} Report */

const root = fileURLToPath(new URL("..", import.meta.url));
const reports = `${root}node_modules/.cache/vak/projects/`;

/**
 * Each column holds the results of one of Vitest's projects. Shared memory: on a cross-origin isolated page, without
 * JSPI.
 */
const COLUMNS = [
  { name: "Chromium", project: "browser (chromium)" },
  { name: "Firefox", project: "browser (firefox)" },
  { name: "Chromium, shared memory", project: "isolated (chromium)" },
  { name: "Firefox, shared memory", project: "isolated (firefox)" },
  { name: "WebKitGTK, shared memory", project: "webkit (webkit)" },
];

/** @type {[area: string, files: RegExp][]} each test file belongs to exactly one area */
const AREAS = [
  ["programs: run, stop, pause, files, input, output", /\/(job|input|limits|files)\.test/],
  ["mounts, kept files, watching", /\/files\/|\/isolated\/mounts\.test/],
  ["hostile programs", /\/(attacks-guest|hostile)\.test/],
  ["hostile workers, lockdown", /\/(attacks-worker|lockdown)\.test/],
  ["isolation `frame`", /\/frame\.test/],
  ["functions of reactors", /\/reactor\.test/],
  ["many agents, and more than the browser has capacity for", /\/(load|capacity)\.test/],
  ["the meter: fuel, stack, NaNs; the same in every engine", /\/meter\/|\/(kernel|isolated)\/same\.test/],
  ["tools and policies; failing closed", /\/policy\/|\/(fail-closed|attacks-tool)\.test/],
  ["the element `<vak-approval>`", /\/approval\//],
  ["tools for network access", /\/fetch\/|\/url\.test/],
  ["the log", /\/log\//],
  ["replay, forks", /\/replay(\/|\.test)/],
  ["`support()`", /\/(support|isolation|platform|no-frame)\.test/],
];

/**
 * Why some tests do not run in some engines. Each test that is skipped needs a reason here, and each reason such a
 * test.
 *
 * @type {{ files: RegExp, title: RegExp, columns: RegExp, what: string, why: string }[]}
 */
const REASONS = [
  {
    files: /frame\.test/,
    title: /./,
    columns: /^WebKitGTK/,
    what: "agents in frames",
    why: "no JSPI, and memory cannot be shared with a sandboxed frame",
  },
  {
    files: /resume\.test/,
    title: /./,
    columns: /^WebKitGTK/,
    what: "guests yield to the event loop",
    why: "no JSPI; guests are stopped and paused through shared memory",
  },
  {
    files: /\/log\/tampering\.test/,
    title: /^a log whose database the browser has lost/,
    columns: /^WebKitGTK/,
    what: "the rollback guard, which notices that a log was lost",
    why: "no origin private file system",
  },
  {
    files: /\/log\/export\.test/,
    title: /into a directory/,
    columns: /^WebKitGTK/,
    what: "export into a directory",
    why: "no origin private file system",
  },
  {
    files: /\/files\/|\/isolated\/mounts\.test/,
    title: /./,
    columns: /^WebKitGTK/,
    what: "mounts of directories, and files kept under a name",
    why: "no origin private file system",
  },
  {
    files: /capacity\.test/,
    title: /./,
    columns: /^WebKitGTK/,
    what: "runs beyond the browser's capacity",
    why: "3,000 memories at once do not fill it",
  },
  {
    files: /\/meter\/fuel\.test/,
    title: /^several memories/,
    columns: /^WebKitGTK/,
    what: "several memories",
    why: "the engine does not support them",
  },
];

/** @type {string[]} */
const faults = [];
const columns = COLUMNS.map((column) => ({ ...column, files: readColumn(column) }));
for (const { name, files } of columns) {
  if (!files) console.log(`NOT CHECKED: ${name}, because not all of its tests were run`);
}
const matrix = [
  ["", ...COLUMNS.map(({ name }) => name)],
  ...AREAS.map(([area, files]) => [area, ...columns.map((column) => cell(column, files))]),
];
const reasons = [
  ["not tested", "in", "why"],
  ...REASONS.map((reason) => {
    const where = COLUMNS.filter(({ name }) => reason.columns.test(name)).map(({ name }) => name.split(",")[0]);
    return [reason.what, where.join(", "), reason.why];
  }),
];
checkReasons();
if (faults.length) {
  for (const fault of faults) console.log(`the support matrix cannot be written: ${fault}`);
  process.exit(1);
}

let stale = false;
const path = "docs/support.md";
for (const table of [matrix, reasons]) {
  const text = readFileSync(root + path, "utf8");
  const written = replaceTable(text, table);
  if (written === text) continue;
  stale = true;
  if (process.argv.includes("--check")) {
    console.log(`${path} is out of date. Run node scripts/support.mjs to update it`);
  } else {
    writeFileSync(root + path, written);
    console.log(`updated ${path}`);
  }
}
process.exitCode = stale && process.argv.includes("--check") ? 1 : 0;
if (!stale) console.log("the support matrix is up to date");

/**
 * A column's results by file; undefined unless all of its tests were run.
 *
 * @param {(typeof COLUMNS)[number]} column
 */
function readColumn({ name, project }) {
  const report = `${reports}${project}.json`;
  if (!existsSync(report)) return undefined;
  /** @type {Report} */
  const files = JSON.parse(readFileSync(report, "utf8"));
  const folder = project.startsWith("isolated") ? "isolated" : "browser";
  const all = readdirSync(`${root}test/${folder}`, { recursive: true, encoding: "utf8" });
  const wanted = all.filter((file) => file.endsWith(".test.ts")).map((file) => `test/${folder}/${file}`);
  if (project.startsWith("webkit")) wanted.push(...ISOLATED_IN_WEBKIT);
  if (wanted.some((file) => !files[file])) return undefined;
  for (const [file, tests] of Object.entries(files)) {
    if (AREAS.filter(([, pattern]) => pattern.test(file)).length !== 1)
      faults.push(`${file} does not belong to exactly one of the areas in scripts/support.mjs`);
    for (const [title, state] of Object.entries(tests)) {
      if (state === "failed") faults.push(`${name}: ${file} > ${title} failed`);
      if (state === "pending") return undefined; // the browser crashed before it
    }
  }
  return files;
}

/**
 * How far a column supports an area; undefined if that is not known.
 *
 * @param {(typeof columns)[number]} column
 * @param {RegExp} pattern
 */
function cell({ files }, pattern) {
  if (!files) return undefined;
  const states = Object.entries(files).flatMap(([file, tests]) => (pattern.test(file) ? Object.values(tests) : []));
  const passed = states.filter((state) => state === "passed").length;
  if (states.length === 0) return "not tested";
  return passed === 0 ? "no" : passed < states.length ? "in part" : "yes";
}

function checkReasons() {
  const used = new Set();
  for (const { name, files } of columns) {
    for (const [file, tests] of Object.entries(files ?? {})) {
      for (const [title, state] of Object.entries(tests)) {
        if (state !== "skipped") continue;
        const reason = REASONS.find((it) => it.columns.test(name) && it.files.test(file) && it.title.test(title));
        if (reason) used.add(reason);
        else faults.push(`${name}: ${file} > ${title} was skipped. Give the reason in scripts/support.mjs`);
      }
    }
  }
  for (const reason of REASONS) {
    const known = columns.some(({ name, files }) => files && reason.columns.test(name));
    if (known && !used.has(reason))
      faults.push(
        `no test is skipped any longer for this reason, so remove it from scripts/support.mjs: ${reason.what}`,
      );
  }
}

/**
 * Replaces the table that has the same header. Cells whose value is not known stay as they are.
 *
 * @param {string} text
 * @param {readonly (readonly (string | undefined)[])[]} table
 */
function replaceTable(text, table) {
  const line = (/** @type {readonly (string | undefined)[]} */ cells) =>
    `| ${cells.join(" | ")} |`.replace("|  |", "| |");
  const header = line(table[0] ?? []);
  const start = text.indexOf(`${header}\n`);
  if (start < 0) throw new Error(`${path} has no table with this header: ${header}`);
  const end = text.indexOf("\n\n", start);
  const old = text.slice(start, end).split("\n").slice(2);
  const rows = table.slice(1).map((cells) => {
    const before = old.find((row) => row.startsWith(`| ${cells[0]} |`))?.split(" | ");
    return line(cells.map((value, i) => value ?? before?.[i]?.replace(/ \|$/, "") ?? "?"));
  });
  const rule = `| ${(table[0] ?? []).map(() => "---").join(" | ")} |`;
  return [text.slice(0, start) + header, rule, ...rows].join("\n") + text.slice(end);
}
