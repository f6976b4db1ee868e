// `node scripts/fuzz.mjs [factor]`: the fuzz tests of sandbox, protocol and meter with that many times as many tries as in
// `npm test` (10 by default), and from a fresh seed: guests' system calls against a model file system, workers' messages to
// their parsers and to a kernel in real browsers, and bytes of modules. Each prints how many it tried. Then every property
// from that seed. `npm run fuzz:meter` has more.

import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const factor = Number(process.argv[2] ?? 10);
if (!Number.isSafeInteger(factor) || factor < 1) {
  console.error("Give how many times as much as in npm test, a whole number.");
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
/** The files with other properties, which are tried as often as ever. */
const properties = readdirSync(`${root}test/unit`, { recursive: true, encoding: "utf8" })
  .map((path) => `test/unit/${path}`)
  .filter((path) => path.endsWith(".test.ts") && readFileSync(`${root}${path}`, "utf8").includes('"fast-check"'));
const seed = process.env.VAK_SEED ?? String(randomInt(2 ** 31));
console.log(`properties are tried from seed ${seed}: VAK_SEED=${seed} npm run fuzz does the same again`);
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
