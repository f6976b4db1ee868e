import { execFile } from "node:child_process";
import { join } from "node:path";
import { build } from "vite";
import { cedarGlue } from "../../build/plugins.ts";

/** Builds the command line into a folder, and gives what runs it. */
export async function buildCli(folder: string): Promise<(...args: string[]) => Promise<Ended>> {
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
  return (...args) =>
    new Promise((resolve) => {
      execFile(process.execPath, [join(folder, "cli.mjs"), ...args], (error, out, err) => {
        resolve({ code: error ? Number(error.code) : 0, out, err });
      });
    });
}

export interface Ended {
  code: number;
  out: string;
  err: string;
}
