// Runs a command that is written in TypeScript, test/commands/NAME.ts, over dist/: `node scripts/command.mjs NAME …`.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";
import { buildGuests } from "./guests.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const [name = "", ...argv] = process.argv.slice(2);
const path = `${root}test/commands/${name}.ts`;
if (!/^\w+$/.test(name) || !existsSync(path)) {
  console.error(`There is no command ${JSON.stringify(name)}; test/commands has a file for each.`);
  process.exit(1);
}
if (!existsSync(`${root}dist/vak.js`)) {
  console.error("There is no dist/vak.js; run `npm run build` first.");
  process.exit(1);
}

// Before Vite runs the command, which can import nothing more once it is loaded; the compilers are imported on demand.
await buildGuests();

// Node 20 runs neither TypeScript nor `await using`; Vite compiles both.
/** @type {{ module: { run(argv: string[]): Promise<number> } }} */
const { module } = await runnerImport(path, { oxc: { target: "es2022" } });
process.exitCode = await module.run(argv);
