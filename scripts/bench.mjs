/**
 * `npm run bench -- [SECTION …] [--quick]`: measures the built library in real browsers, compared with the bare
 * platform that it runs on. Nothing here passes or fails: the figures are for people.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";
import { buildGuests } from "./guests.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
if (!existsSync(`${root}dist/vak.js`)) {
  console.error("dist/vak.js is missing. Run npm run build first.");
  process.exit(1);
}

// Now, because a module that Vite runs cannot import later, and the compilers are imported only when they are needed.
await buildGuests();

// The sections are in TypeScript and use `await using`. Node 20 runs neither; Vite does.
/** @type {{ module: typeof import("../test/bench/run.ts") }} */
const { module } = await runnerImport(`${root}test/bench/run.ts`, { oxc: { target: "es2022" } });
// Now, because Vite has closed its module runner by the time a section could import this.
/** @type {typeof import("../src/audit/index.ts")} */
const audit = await import(`${root}dist/audit.js`);
process.exitCode = await module.run(process.argv.slice(2), audit);
