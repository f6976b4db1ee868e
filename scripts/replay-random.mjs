// `node scripts/replay-random.mjs [count] [first]`: records so many programs that are made at random, 1000 unless given, in
// Chromium and Firefox by turns, and replays each in the other and in Node. Program n is always the same program.

import { fileURLToPath } from "node:url";
import { createServer } from "vite";

const count = Number(process.argv[2] ?? 1000);
const first = Number(process.argv[3] ?? 0);
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(first) || first < 0) {
  console.error("Give how many programs, and the number of the first.");
  process.exit(2);
}
const root = fileURLToPath(new URL("..", import.meta.url));
// Node 20 does not run TypeScript, and some of it is imported only when it is needed: the loader stays until the end.
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
