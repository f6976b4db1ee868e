// `npm test`: every check there is, one after the other. A step that fails does not stop those after it.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { findBrowsers } from "./browsers.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const report = `${root}node_modules/.cache/vak/vitest.json`;
const scripts = JSON.parse(readFileSync(`${root}package.json`, "utf8")).scripts;

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
    command: "publint --strict && attw --pack --profile esm-only --exclude-entrypoints worker cedar.wasm",
  },
  { name: "size", command: "node scripts/size.mjs" },
  { name: "tests", command: `vitest run --reporter=default --reporter=json --outputFile.json="${report}"` },
];

mkdirSync(dirname(report), { recursive: true });
rmSync(report, { force: true });
const env = { ...process.env, PATH: `${root}node_modules/.bin${delimiter}${process.env.PATH}` };

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
  const { status, signal, error } = spawnSync(command, { cwd: root, env, shell: true, stdio: "inherit" });
  if (status === 0) continue;
  failed.push(name);
  console.log(`== ${name} FAILED (${error?.message ?? signal ?? `exit code ${status}`})`);
}

const tests = count();
// A step that failed counts as one failure; "tests" does so only when no test says why, as when a browser is lost.
const failures = tests.failed + failed.filter((name) => name !== "tests" || tests.failed === 0).length;
console.log("");
if (absent.length) console.log(`not there yet: ${absent.join(", ")}`);
if (!findBrowsers().webkit) console.log("LEFT OUT: the tests in WebKit, which only Debian's packages bring here");
if (failed.length) console.log(`failed steps: ${failed.join(", ")}`);
if (tests.passed === 0) console.log("no test passed: nothing was shown");
console.log(`${tests.passed} passed, ${failures} failed, ${tests.skipped} skipped`);
process.exitCode = failures > 0 || tests.passed === 0 ? 1 : 0;

/** Sums Vitest's report. A file that could not be run counts as one failure. */
function count() {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  let files;
  try {
    files = JSON.parse(readFileSync(report, "utf8")).testResults;
  } catch {
    return sum; // Vitest did not get so far: its step has failed
  }
  for (const { status, assertionResults } of files) {
    let failedHere = 0;
    for (const test of assertionResults) {
      if (test.status === "passed") sum.passed++;
      else if (test.status === "failed") failedHere++;
      else sum.skipped++;
    }
    sum.failed += status === "failed" ? Math.max(failedHere, 1) : failedHere;
  }
  return sum;
}
