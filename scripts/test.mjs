/**
 * `npm test`: runs every check, one after the other, except that the tests in WebKit run beside those in the other
 * browsers, which leave a processor idle now and then. A step that fails does not stop the ones after it.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { findBrowsers } from "./browsers.mjs";
import { BY_COMMAND } from "./projects.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = `${root}node_modules/.cache/vak/`;
const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const tarball = `${cache}vak-${version}.tgz`;

/** @typedef {"tests" | "browsers" | "webkit"} Report a JSON report of Vitest's, by name: results are counted there */
/** @typedef {{ name: string, command: string, report?: Report }} Step */

/**
 * A step that runs some of Vitest's projects.
 *
 * @param {string} name
 * @param {Report} report
 * @param {string[]} projects
 * @returns {Step}
 */
const vitest = (name, report, ...projects) => ({
  name,
  report,
  command:
    `vitest run --reporter=default --reporter=./test/setup/report.ts --reporter=json --outputFile.json="${cache}${report}.json" ` +
    projects.map((project) => `--project "${project}"`).join(" "),
});
const inBrowsers = vitest("tests in browsers", "browsers", "browser*", "isolated*");
const inWebKitGTK = vitest("tests in WebKit", "webkit", "*webkit*");
/** @type {Step[]} */
const steps = [
  { name: "types", command: "tsc --noEmit" },
  { name: "lint and format", command: "biome ci" },
  { name: "browsers", command: "node scripts/browsers.mjs" },
  { name: "guests", command: "node scripts/guests.mjs" },
  { name: "build", command: "npm run build" },
  {
    name: "package",
    // The worker and Cedar's wasm are files to serve, not modules to import: they have no types.
    command:
      `npm pack --silent --ignore-scripts --pack-destination "${cache}" && publint --strict "${tarball}" && ` +
      `attw --profile esm-only --exclude-entrypoints worker cedar.wasm -- "${tarball}"`,
  },
  { name: "size", command: "node scripts/size.mjs --budgets" },
  vitest("tests", "tests", "unit", "e2e", "package"),
  inBrowsers,
  inWebKitGTK,
  { name: "support matrix", command: "node scripts/support.mjs --check" },
];

mkdirSync(cache, { recursive: true });
for (const report of ["tests.json", "browsers.json", "webkit.json", "projects"]) {
  rmSync(`${cache}${report}`, { force: true, recursive: true });
}
// Only what this run builds and finds counts, for this script too.
delete process.env.VAK_BUILT;
delete process.env.VAK_PACKED;
delete process.env.VAK_BROWSERS;
/** @type {NodeJS.ProcessEnv} */
const env = { ...process.env, PATH: `${root}node_modules/.bin${delimiter}${process.env.PATH}` };
env.VAK_SEED ??= "1";
console.log(`seed of the property tests: ${env.VAK_SEED}`);

/** @type {string[]} */
const failed = [];
/** Where the tests in WebKit print, so that the output of two steps is not mixed. */
const webkitLog = `${cache}webkit.log`;
/** @type {ReturnType<typeof run> | undefined} */
let webkit;
for (const step of steps) {
  const { name, command, report } = step;
  console.log(`\n== ${name}: ${command}`);
  if (step === inWebKitGTK && !webkit) continue;
  if (step === inBrowsers && findBrowsers().webkit) webkit = run(inWebKitGTK, openSync(webkitLog, "w"));
  const began = performance.now();
  const code = await (step === inWebKitGTK ? webkit : run(step));
  if (step === inWebKitGTK) process.stdout.write(readFileSync(webkitLog));
  console.log(`== ${name}: ${Math.round((performance.now() - began) / 1000)} s${step === inWebKitGTK ? " more" : ""}`);
  // Vitest has exited with 0 without running anything: then there is no report, or nothing in it.
  const unreported = code === 0 && report && results(report).length === 0;
  if (code === 0 && !unreported) {
    if (name === "build") env.VAK_BUILT = "1"; // so that the tests do not build again
    if (name === "package") env.VAK_PACKED = tarball; // nor pack
    continue;
  }
  // Reported at the end.
  if (step === inWebKitGTK && died(count("webkit"))) continue;
  failed.push(name);
  const why = unreported ? "it ended without results" : typeof code === "string" ? code : `exit code ${code}`;
  console.log(`== ${name} FAILED (${why})`);
}

const tests = count("tests", "browsers");
tests.skipped += tests.pending;
const inWebKit = count("webkit");
tests.passed += inWebKit.passed;
if (!died(inWebKit)) tests.failed += inWebKit.failed;
tests.skipped += inWebKit.skipped + inWebKit.pending;
// A failed step counts as one failure. The steps of tests, and the matrix made from their results, count only if no
// test failed, for example because a browser crashed.
const ofTests = (/** @type {string} */ name) => name.startsWith("tests") || name === "support matrix";
const missed = neverRun();
const failures = tests.failed + missed.length + failed.filter((name) => !ofTests(name) || tests.failed === 0).length;
console.log("");
if (!webkit) console.log("NOT RUN: the tests in WebKit, which needs Debian's packages webkit2gtk-driver and xvfb");
if (failed.length) console.log(`failed steps: ${failed.join(", ")}`);
// At the end, and short, because only the end of a long output may be kept.
for (const file of missed) console.log(`NEVER RUN: ${file}`);
for (const failure of tests.failures) console.log(`FAILED: ${failure}`);
const before = died(inWebKit) ? "FAILED BEFORE THE CRASH, which proves nothing" : "FAILED";
for (const failure of inWebKit.failures) console.log(`${before}: ${failure}`);
if (died(inWebKit)) {
  const { pending, unstarted } = inWebKit;
  console.log(`WebKitGTK ITSELF CRASHED: ${pending} TESTS AND ${unstarted} WHOLE FILES WERE NOT RUN in it`);
}
if (tests.passed === 0) console.log("no test passed, so nothing was checked");
console.log(`${tests.passed} passed, ${failures} failed, ${tests.skipped} skipped`);
process.exitCode = failures > 0 || tests.passed === 0 ? 1 : 0;

/**
 * Runs a step's command. Resolves with its exit code, the signal that ended it, or why it could not be started.
 *
 * @param {Step} step
 * @param {number | "inherit"} output where it prints
 * @returns {Promise<number | string>}
 */
async function run({ command }, output = "inherit") {
  try {
    const child = spawn(command, { cwd: root, env, shell: true, stdio: ["ignore", output, output] });
    const [code, signal] = await once(child, "exit");
    return code ?? signal;
  } catch (error) {
    return /** @type {Error} */ (error).message;
  } finally {
    if (output !== "inherit") closeSync(output);
  }
}

/** Test files that no project ran. Vitest does not report them. */
function neverRun() {
  const reports = `${cache}projects/`;
  // Vitest itself crashed, and then it is its step that failed.
  if (results("tests").length === 0 || results("browsers").length === 0) return [];
  const ran = new Set([
    ...Object.values(BY_COMMAND),
    ...readdirSync(reports).flatMap((name) => Object.keys(JSON.parse(readFileSync(reports + name, "utf8")))),
  ]);
  return readdirSync(`${root}test`, { recursive: true, encoding: "utf8" })
    .map((path) => `test/${path}`)
    .filter((path) => path.endsWith(".test.ts") && !ran.has(path));
}

/**
 * Whether the browser crashed before all tests were run, within a file or between two. Its earlier results prove
 * nothing then: JavaScriptCore 2.50 has been seen to hang in one test and crash a few tests later.
 *
 * @param {ReturnType<typeof count>} result
 */
function died({ passed, pending, unstarted }) {
  return passed > 0 && pending + unstarted > 0;
}

/**
 * Counts the results in Vitest's reports. A file that could not be run counts as one failure.
 *
 * @param {Report[]} reports
 */
function count(...reports) {
  const sum = { passed: 0, failed: 0, skipped: 0, pending: 0, unstarted: 0, failures: /** @type {string[]} */ ([]) };
  for (const { name, status, message, assertionResults } of reports.flatMap(results)) {
    const file = name.replace(root, "");
    let failedHere = 0;
    // So Vitest reports a file that it was to run and that never started.
    if (status === "passed" && assertionResults.length === 0) sum.unstarted++;
    for (const test of assertionResults) {
      if (test.status === "passed") sum.passed++;
      else if (test.status === "failed") {
        failedHere++;
        sum.failures.push(`${file} > ${test.fullName}\n${test.failureMessages.join("\n").slice(0, 2000)}`);
      } else if (test.status === "pending")
        sum.pending++; // it never started
      else sum.skipped++;
    }
    if (status === "failed" && failedHere === 0) {
      failedHere = 1;
      sum.failures.push(`${file}\n${String(message).slice(0, 2000)}`);
    }
    sum.failed += failedHere;
  }
  return sum;
}

/** @param {Report} report */
function results(report) {
  try {
    return JSON.parse(readFileSync(`${cache}${report}.json`, "utf8")).testResults ?? [];
  } catch {
    return []; // no report: its step failed or was skipped
  }
}
