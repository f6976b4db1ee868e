/** `node scripts/command.mjs NAME …`: runs test/commands/NAME.ts, a command written in TypeScript, over dist/. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";
import { buildGuests } from "./guests.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const [name = "", ...argv] = process.argv.slice(2);
const path = `${root}test/commands/${name}.ts`;
if (!/^\w+$/.test(name) || !existsSync(path)) {
  console.error(`There is no command ${JSON.stringify(name)}. The commands are the files in test/commands.`);
  process.exit(1);
}
if (!existsSync(`${root}dist/vak.js`)) {
  console.error("dist/vak.js is missing. Run npm run build first.");
  process.exit(1);
}

// Now, because a module that Vite runs cannot import later, and the compilers are imported only when they are needed.
await buildGuests();

// Node 20 runs neither TypeScript nor `await using`; Vite does.
/** @type {{ module: { run(argv: string[]): Promise<number> } }} */
const { module } = await runnerImport(path, { oxc: { target: "es2022" } });
process.exitCode = await module.run(argv);
