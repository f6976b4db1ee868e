// `node scripts/support.mjs`: writes the support matrix in docs/support.md, from what the tests did in each browser when
// `npm test` was last run. `--check` only reports whether the page is up to date, and fails if it is not.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @typedef {import("../test/setup/report.ts").Report} Report */

const root = fileURLToPath(new URL("..", import.meta.url));
const reports = `${root}node_modules/.cache/vak/projects/`;

/** A column is what some of Vitest's projects did. Shared memory: on a cross-origin isolated page, without JSPI. */
const COLUMNS = [
  { name: "Chromium", projects: ["browser (chromium)"] },
  { name: "Firefox", projects: ["browser (firefox)"] },
  { name: "Chromium, shared memory", projects: ["isolated (chromium)"] },
  { name: "Firefox, shared memory", projects: ["isolated (firefox)"] },
  { name: "WebKitGTK, shared memory", projects: ["webkit (webkit)"] },
];

/** @type {[area: string, files: RegExp][]} each test file is of one area */
const AREAS = [
  ["programs: run, stop, pause, files, input, output", /\/(job|input|limits|files)\.test/],
  ["mounts, files that are kept, watching", /\/files\/|\/isolated\/mounts\.test/],
  ["hostile programs", /\/(attacks-guest|hostile)\.test/],
  ["hostile workers, an emptied scope", /\/(attacks-worker|lockdown)\.test/],
  ["isolation `frame`", /\/frame\.test/],
  ["functions of reactors", /\/reactor\.test/],
  ["many agents; more than there is room for", /\/(load|capacity)\.test/],
  ["the meter: fuel, stack, NaNs, the same in each", /\/meter\/|\/(kernel|isolated)\/same\.test/],
  ["tools and policies; fail closed", /\/policy\/|\/fail-closed\.test/],
  ["the element `<vak-approval>`", /\/approval\//],
  ["the tools for the network", /\/fetch\/|\/url\.test/],
  ["the log", /\/log\//],
  ["replay, forks", /\/replay(\/|\.test)/],
  ["`support()`", /\/(support|isolation|platform|no-frame)\.test/],
];

/**
 * Why a test is not run somewhere. Each test that is not needs a reason here, and each reason such a test.
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
    what: "the meter lets the event loop turn",
    why: "no JSPI; guests are stopped and paused by shared memory",
  },
  {
    files: /log\.test/,
    title: /^a log whose database the browser has lost/,
    columns: /^WebKitGTK/,
    what: "a lost log is noticed by a second place that remembers it",
    why: "no origin-private file system",
  },
  {
    files: /export\.test/,
    title: /into a directory/,
    columns: /^WebKitGTK/,
    what: "export into a directory",
    why: "no origin-private file system",
  },
  {
    files: /\/files\/|\/isolated\/mounts\.test/,
    title: /./,
    columns: /^WebKitGTK/,
    what: "mounts of directories, and files that are kept under a name",
    why: "no origin-private file system",
  },
  {
    files: /capacity\.test/,
    title: /./,
    columns: /^WebKitGTK/,
    what: "runs for which there is no room",
    why: "3,000 memories at once do not fill it",
  },
  {
    files: /\/meter\/fuel\.test/,
    title: /^several memories/,
    columns: /^WebKitGTK/,
    what: "several memories",
    why: "the engine does not have them",
  },
];

/** @type {string[]} */
const faults = [];
const columns = COLUMNS.map((column) => ({ ...column, files: readColumn(column) }));
for (const { name, files } of columns) {
  if (!files) console.log(`NOT CHECKED: ${name}, whose tests have not all been run here`);
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
  for (const fault of faults) console.log(`the support matrix cannot be made: ${fault}`);
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
    console.log(`${path} does not say what the tests say; node scripts/support.mjs writes it`);
  } else {
    writeFileSync(root + path, written);
    console.log(`${path} is written`);
  }
}
process.exitCode = stale && process.argv.includes("--check") ? 1 : 0;
if (!stale) console.log("the support matrix says what the tests say");

/**
 * What the tests did in a column, by file; undefined where they were not all run.
 *
 * @param {(typeof COLUMNS)[number]} column
 */
function readColumn({ name, projects }) {
  /** @type {Report} */
  const files = {};
  for (const project of projects) {
    const path = `${reports}${project}.json`;
    if (!existsSync(path)) return undefined;
    Object.assign(files, JSON.parse(readFileSync(path, "utf8")));
  }
  for (const folder of new Set(projects.map((project) => (project.startsWith("isolated") ? "isolated" : "browser")))) {
    const all = /** @type {string[]} */ (readdirSync(`${root}test/${folder}`, { recursive: true }));
    const missing = all.filter((file) => file.endsWith(".test.ts") && !files[`test/${folder}/${file}`]);
    if (missing.length) return undefined;
  }
  for (const [file, tests] of Object.entries(files)) {
    if (AREAS.filter(([, pattern]) => pattern.test(file)).length !== 1) faults.push(`${file} is not of one area`);
    for (const [title, state] of Object.entries(tests)) {
      if (state === "failed") faults.push(`${name}: ${file} > ${title} failed`);
      if (state === "pending") return undefined; // the browser died before
    }
  }
  return files;
}

/**
 * What a column has of an area; undefined where it is not known.
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
        else faults.push(`${name}: ${file} > ${title} is not run, and scripts/support.mjs does not say why`);
      }
    }
  }
  for (const reason of REASONS) {
    const known = columns.some(({ name, files }) => files && reason.columns.test(name));
    if (known && !used.has(reason)) faults.push(`nothing is left out any more of: ${reason.what}`);
  }
}

/**
 * Puts a table in place of the one with the same header. A cell that is not known stays as it is.
 *
 * @param {string} text
 * @param {readonly (readonly (string | undefined)[])[]} table
 */
function replaceTable(text, table) {
  const line = (/** @type {readonly (string | undefined)[]} */ cells) =>
    `| ${cells.join(" | ")} |`.replace("|  |", "| |");
  const header = line(table[0] ?? []);
  const start = text.indexOf(`${header}\n`);
  if (start < 0) throw new Error(`there is no table with the header ${header}`);
  const end = text.indexOf("\n\n", start);
  const old = text.slice(start, end).split("\n").slice(2);
  const rows = table.slice(1).map((cells) => {
    const before = old.find((row) => row.startsWith(`| ${cells[0]} |`))?.split(" | ");
    return line(cells.map((value, i) => value ?? before?.[i]?.replace(/ \|$/, "") ?? "?"));
  });
  const rule = `| ${(table[0] ?? []).map(() => "---").join(" | ")} |`;
  return [text.slice(0, start) + header, rule, ...rows].join("\n") + text.slice(end);
}
