/**
 * `npm run fuzz -- [FACTOR]`: every property test, from a fresh seed. The fuzz tests among them make FACTOR times as
 * many tries as in `npm test` (10 by default), and print how many: guests' system calls against a model of a file
 * system, workers' messages to their parsers and to a kernel in real browsers, and the bytes of modules.
 * `npm run fuzz:meter` fuzzes the meter further.
 */

import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const factor = Number(process.argv[2] ?? 10);
if (!Number.isSafeInteger(factor) || factor < 1) {
  console.error("FACTOR must be a positive whole number: how many times as many tries as in npm test.");
  process.exit(2);
}
const root = fileURLToPath(new URL("..", import.meta.url));
/** Every file with a property. Only their fuzz tests make FACTOR times as many tries. */
const properties = readdirSync(`${root}test/unit`, { recursive: true, encoding: "utf8" })
  .map((path) => `test/unit/${path}`)
  .filter((path) => path.endsWith(".ts") && readFileSync(`${root}${path}`, "utf8").includes('"fast-check"'))
  .map((path) => path.replace(/\.cases\.ts$/, ".test.ts")) // which runs the cases in Node
  .filter((path) => path.endsWith(".test.ts"));
const seed = process.env.VAK_SEED ?? String(randomInt(2 ** 31));
console.log(`seed ${seed}; VAK_SEED=${seed} npm run fuzz repeats this run`);
const inBrowsers = vitest(["--project", "browser*", "-t", "fuzz:", "test/browser/kernel/attacks-worker.test.ts"]);
process.exitCode = Math.max(inBrowsers, vitest(["--project", "unit", ...properties]));

/** @param {string[]} args */
function vitest(args) {
  const { status } = spawnSync(
    process.execPath,
    [`${root}node_modules/vitest/vitest.mjs`, "run", "--testTimeout", "3600000", ...args],
    {
      cwd: root,
      stdio: "inherit",
      env: { ...process.env, VAK_FUZZ: String(factor), VAK_SEED: seed },
    },
  );
  return status ?? 1;
}
