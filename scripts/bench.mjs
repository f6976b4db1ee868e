// Measures vak beside what it stands on, in real browsers: `node scripts/bench.mjs [section …] [--quick]`, over dist/.
// Nothing here passes or fails: the figures are for people.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";
import { buildGuests } from "./guests.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
if (!existsSync(`${root}dist/vak.js`)) {
  console.error("There is no dist/vak.js: npm run build makes it.");
  process.exit(1);
}

// Here, since what Vite runs imports nothing more once it is loaded: the compilers are imported when they are needed.
await buildGuests();

// The sections are TypeScript, which Node 20 does not run; Vite does. Nor does it know `await using`.
/** @type {{ module: typeof import("../test/bench/run.ts") }} */
const { module } = await runnerImport(`${root}test/bench/run.ts`, { oxc: { target: "es2022" } });
// Imported here: Vite has let go of what it ran by the time that a section would.
/** @type {typeof import("../src/audit/index.ts")} */
const audit = await import(`${root}dist/audit.js`);
process.exitCode = await module.run(process.argv.slice(2), audit);
