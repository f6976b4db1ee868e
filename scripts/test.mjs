// `npm test`: every check there is, one after the other. A step that fails does not stop those after it.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { findBrowsers } from "./browsers.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = `${root}node_modules/.cache/vak/`;
const { scripts, version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const tarball = `${cache}vak-${version}.tgz`;

/**
 * Vitest on some of its projects, with a report that can be counted.
 *
 * @param {string} report
 * @param {string[]} projects
 */
const vitest = (report, ...projects) =>
  `vitest run --reporter=default --reporter=./test/setup/report.ts --reporter=json --outputFile.json="${cache}${report}.json" ` +
  projects.map((project) => `--project "${project}"`).join(" ");

const WEBKIT = "tests in WebKit";

/**
 * A step without a command is one that the project does not have yet.
 *
 * @type {{ name: string, command: string | undefined }[]}
 */
const steps = [
  { name: "types", command: "tsc --noEmit" },
  { name: "lint and format", command: "biome ci" },
  { name: "browsers", command: "node scripts/browsers.mjs" },
  { name: "guests", command: "node scripts/guests.mjs" },
  { name: "build", command: scripts.build && "npm run build" },
  {
    name: "package",
    // The worker is a file to serve and not a module to import, as is Cedar's wasm: they have no types.
    command:
      `npm pack --silent --ignore-scripts --pack-destination "${cache}" && publint --strict "${tarball}" && ` +
      `attw --profile esm-only --exclude-entrypoints worker cedar.wasm -- "${tarball}"`,
  },
  { name: "size", command: "node scripts/size.mjs" },
  {
    name: "tests",
    command: vitest("tests", "unit", "browser*", "isolated (chromium)", "isolated (firefox)", "e2e", "package"),
  },
  { name: WEBKIT, command: vitest("webkit", "*webkit*") },
  { name: "support matrix", command: "node scripts/support.mjs --check" },
];

mkdirSync(cache, { recursive: true });
for (const report of ["tests.json", "webkit.json", "projects"]) {
  rmSync(`${cache}${report}`, { force: true, recursive: true });
}
/** @type {NodeJS.ProcessEnv} */
const env = { ...process.env, PATH: `${root}node_modules/.bin${delimiter}${process.env.PATH}` };

env.VAK_SEED ??= "1";
console.log(`properties are tried from seed ${env.VAK_SEED}`);

/** @type {string[]} */
const failed = [];
/** @type {string[]} */
const absent = [];
for (const { name, command } of steps) {
  console.log(`\n== ${name}: ${command ?? "THERE IS NONE YET"}`);
  if (!command) {
    absent.push(name);
    continue;
  }
  if (name === WEBKIT && !findBrowsers().webkit) continue;
  const began = performance.now();
  const { status, signal, error } = spawnSync(command, { cwd: root, env, shell: true, stdio: "inherit" });
  console.log(`== ${name}: ${Math.round((performance.now() - began) / 1000)} s`);
  if (status === 0) {
    if (name === "build") env.VAK_BUILT = "1"; // the tests need not build again what they run
    continue;
  }
  if (name === WEBKIT && died(count("webkit"))) {
    const { pending, failures } = count("webkit");
    console.log(`== WebKitGTK itself died in the middle: ${pending} TESTS WERE NOT RUN in it`);
    for (const failure of failures) console.log(`== and this failed in it before, which proves nothing: ${failure}`);
    continue;
  }
  failed.push(name);
  console.log(`== ${name} FAILED (${error?.message ?? signal ?? `exit code ${status}`})`);
}

const tests = count("tests");
tests.skipped += tests.pending;
const inWebKit = count("webkit");
tests.passed += inWebKit.passed;
if (died(inWebKit)) inWebKit.failures = [];
else tests.failed += inWebKit.failed;
tests.skipped += inWebKit.skipped + inWebKit.pending;
// A step that failed counts as one failure; steps of tests, and what is made of them, do so only when no test says why, as
// when a browser is lost.
const ofTests = (/** @type {string} */ name) => name.startsWith("tests") || name === "support matrix";
const failures = tests.failed + failed.filter((name) => !ofTests(name) || tests.failed === 0).length;
console.log("");
if (absent.length) console.log(`not there yet: ${absent.join(", ")}`);
if (!findBrowsers().webkit) console.log("LEFT OUT: the tests in WebKit, which only Debian's packages bring here");
if (failed.length) console.log(`failed steps: ${failed.join(", ")}`);
// Last, and short: the end of a long output is what is kept of it.
for (const failure of [...tests.failures, ...inWebKit.failures]) console.log(`FAILED: ${failure}`);
if (tests.passed === 0) console.log("no test passed: nothing was shown");
console.log(`${tests.passed} passed, ${failures} failed, ${tests.skipped} skipped`);
process.exitCode = failures > 0 || tests.passed === 0 ? 1 : 0;

/**
 * Whether the browser was gone before all tests were run. One that crashes is no witness of what it did before, either:
 * in version 2.50 JavaScriptCore has been seen to hang in a test, and to crash some tests later.
 *
 * @param {ReturnType<typeof count>} result
 */
function died({ passed, pending }) {
  return passed > 0 && pending > 0;
}

/**
 * Sums Vitest's report. A file that could not be run counts as one failure.
 *
 * @param {"tests" | "webkit"} report
 */
function count(report) {
  const sum = { passed: 0, failed: 0, skipped: 0, pending: 0, failures: /** @type {string[]} */ ([]) };
  let files;
  try {
    files = JSON.parse(readFileSync(`${cache}${report}.json`, "utf8")).testResults;
  } catch {
    return sum; // Vitest did not get so far: its step has failed
  }
  for (const { name, status, message, assertionResults } of files) {
    const file = name.replace(root, "");
    let failedHere = 0;
    for (const test of assertionResults) {
      if (test.status === "passed") sum.passed++;
      else if (test.status === "failed") {
        failedHere++;
        sum.failures.push(`${file} > ${test.fullName}\n${test.failureMessages.join("\n").slice(0, 2000)}`);
      } else if (test.status === "pending")
        sum.pending++; // it was never begun
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
