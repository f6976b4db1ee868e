/** Vite's development server over the project's folder, for test pages that import the sources. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createServer } from "vite";
import { cedarGlue, workerSource } from "../../build/plugins.ts";

export interface SourceServer {
  /** The URL of the project's folder, ending in a slash. */
  readonly url: string;
  close(): Promise<void>;
}

export async function serveSources(): Promise<SourceServer> {
  const scratch = await mkdtemp(join(tmpdir(), "vak-sources-"));
  const server = await createServer({
    configFile: false,
    root: fileURLToPath(new URL("../..", import.meta.url)),
    cacheDir: scratch,
    logLevel: "error",
    plugins: [workerSource(), cedarGlue()],
    optimizeDeps: { noDiscovery: true },
    server: { port: 0, hmr: false, watch: null },
  });
  await server.listen();
  return {
    url: server.resolvedUrls!.local[0]!,
    async close() {
      await server.close();
      await rm(scratch, { recursive: true, force: true });
    },
  };
}
