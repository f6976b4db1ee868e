// `node scripts/fuzz.mjs [factor]`: the fuzz tests of sandbox, protocol and meter, with so many times as many tries as in
// `npm test`, 10 unless said otherwise: guests' system calls against a model file system, workers' messages to their parsers
// and to a kernel in real browsers, and bytes of modules. Each prints how many it tried. `npm run fuzz:meter` has more.

import { spawnSync } from "node:child_process";
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
const args = ["run", "--project", "unit", "--project", "browser*", "--testTimeout", "3600000", "-t", "fuzz:", ...files];
const { status } = spawnSync(process.execPath, [`${root}node_modules/vitest/vitest.mjs`, ...args], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, VAK_FUZZ: String(factor) },
});
process.exitCode = status ?? 1;
