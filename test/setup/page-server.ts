/** Serves a page of its own to a test: a module of the project, built as an app would build it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { cedarGlue, workerSource } from "../../build/plugins.ts";
import { serve } from "../serve.ts";

export interface PageServer {
  /** The page, whose only script is the module. */
  readonly url: string;
  readonly origin: string;
  close(): Promise<void>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Builds a module and serves a page with it. Loading the sources one by one would take a browser seconds each time that
 * it opens the page.
 *
 * @param entry the module, from the project's folder
 */
export async function servePage(entry: string): Promise<PageServer> {
  const folder = await mkdtemp(join(tmpdir(), "vak-page-"));
  await build({
    configFile: false,
    root,
    logLevel: "error",
    plugins: [workerSource(), cedarGlue({ beside: true })],
    build: {
      outDir: folder,
      target: "es2022",
      minify: false,
      lib: { entry, formats: ["es"], fileName: () => "main.js" },
    },
  });
  const html = `<!doctype html><title>test</title><script type="module" src="/test/guests/main.js"></script>`;
  const server = await serve({
    // `loadGuest` resolves its URLs against the script's, so the script is served from test/guests/.
    directories: {
      "/test/guests/": folder,
      "/test/guests/out/": `${root}test/guests/out`,
      "/node_modules/": `${root}node_modules`,
    },
    pages: { "/": html },
  });
  return {
    url: `${server.url}/`,
    origin: server.url,
    close: async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
