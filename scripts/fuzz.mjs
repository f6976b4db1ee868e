/**
 * `npm run fuzz -- [FACTOR]`: the fuzz tests of sandbox, protocol and meter, from a fresh seed, with FACTOR times as
 * many tries as in `npm test` (10 by default): guests' system calls against a model of a file system, workers'
 * messages to their parsers and to a kernel in real browsers, and the bytes of modules. Each prints how many it
 * tried. Then every property test runs from the same seed. `npm run fuzz:meter` fuzzes the meter further.
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
const files = [
  "test/unit/sandbox/wasi.fuzz.test.ts",
  "test/unit/sandbox/vfs.test.ts",
  "test/unit/protocol/protocol.test.ts",
  "test/unit/meter/admission.test.ts",
  "test/browser/kernel/attacks-worker.test.ts",
];
/** The files with properties, which are tried as often as in `npm test`. */
const properties = readdirSync(`${root}test/unit`, { recursive: true, encoding: "utf8" })
  .map((path) => `test/unit/${path}`)
  .filter((path) => path.endsWith(".test.ts") && readFileSync(`${root}${path}`, "utf8").includes('"fast-check"'));
const seed = process.env.VAK_SEED ?? String(randomInt(2 ** 31));
console.log(`seed ${seed}; VAK_SEED=${seed} npm run fuzz repeats this run`);
const args = ["run", "--project", "unit", "--project", "browser*", "--testTimeout", "3600000", "-t", "fuzz:", ...files];
process.exitCode = vitest(args) || vitest(["run", "--project", "unit", "--testTimeout", "3600000", ...properties]);

/** @param {string[]} args */
function vitest(args) {
  const { status } = spawnSync(process.execPath, [`${root}node_modules/vitest/vitest.mjs`, ...args], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, VAK_FUZZ: String(factor), VAK_SEED: seed },
  });
  return status ?? 1;
}
