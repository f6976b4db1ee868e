/** The command line `vak`, for tests: built, and run as a process. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { cedarGlue } from "../../build/plugins.ts";

/** Builds the command line into a folder, unless `npm test` has built it already. Returns a function that runs it. */
export async function buildCli(folder: string): Promise<(...args: string[]) => Promise<Ended>> {
  if (process.env.VAK_BUILT === "1") return runs(fileURLToPath(new URL("../../dist/cli.js", import.meta.url)));
  await build({
    configFile: false,
    logLevel: "error",
    plugins: [cedarGlue({ beside: true })],
    build: {
      outDir: folder,
      emptyOutDir: false,
      ssr: "src/cli/cli.ts",
      ssrEmitAssets: true,
      target: "node20",
      rollupOptions: { output: { entryFileNames: "cli.mjs", chunkFileNames: "[name].mjs" } },
    },
    ssr: { noExternal: true },
  });
  return runs(join(folder, "cli.mjs"));
}

function runs(command: string): (...args: string[]) => Promise<Ended> {
  return (...args) =>
    new Promise((resolve) => {
      execFile(process.execPath, [command, ...args], (error, out, err) => {
        resolve({ code: error ? Number(error.code) : 0, out, err });
      });
    });
}

export interface Ended {
  code: number;
  out: string;
  err: string;
}
