/**
 * `npm run test:kill -- [TIMES]`: kills a real Chromium with kill -9 while it appends to a log, and checks each time
 * that nothing it had acknowledged is lost. TIMES is 50 by default.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const times = Number(process.argv[2] ?? 50);
const root = fileURLToPath(new URL("..", import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, "run", "--project", "e2e", "test/outside/kill.test.ts"],
  { cwd: root, stdio: "inherit", env: { ...process.env, VAK_KILLS: String(times) } },
);
process.exitCode = status ?? 1;
