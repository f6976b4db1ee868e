/**
 * `node scripts/replay-random.mjs [count] [first]`: records random programs, 1000 by default, in Chromium and Firefox
 * in turn, and replays each in the other and in Node. Program n is always the same program.
 */

import { fileURLToPath } from "node:url";
import { createServer } from "vite";

const count = Number(process.argv[2] ?? 1000);
const first = Number(process.argv[3] ?? 0);
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(first) || first < 0) {
  console.error(
    "usage: node scripts/replay-random.mjs [COUNT] [FIRST]: how many programs, and the number of the first",
  );
  process.exit(2);
}
const root = fileURLToPath(new URL("..", import.meta.url));
// Node 20 does not run TypeScript, and some of it is imported only when needed, so the loader stays open until the end.
const loader = await createServer({
  configFile: false,
  root,
  logLevel: "error",
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, hmr: false, watch: null, ws: false },
});
try {
  /** @type {typeof import("../test/e2e/replay/random.ts")} */
  const module = /** @type {any} */ (await loader.ssrLoadModule(`${root}test/e2e/replay/random.ts`));
  process.exitCode = await module.run(count, first);
} finally {
  await loader.close();
}
