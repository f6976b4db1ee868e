/**
 * `npm run test:million -- [ENTRIES]`: opens a very large log in Chromium, compares that with opening an empty one,
 * exports it, and verifies it in the page and by `npx vak verify`, in Node with 256 MB of heap. ENTRIES is 1,000,000
 * by default.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const entries = Number(process.argv[2] ?? 1_000_000);
const root = fileURLToPath(new URL("..", import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, "run", "--project", "e2e", "test/outside/million.test.ts"],
  { cwd: root, stdio: "inherit", env: { ...process.env, VAK_MILLION: String(entries) } },
);
process.exitCode = status ?? 1;
