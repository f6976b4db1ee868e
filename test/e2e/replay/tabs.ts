/** Pages in the two browsers that record and replay, over the sources as they are. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page as Tab } from "playwright";
import { createServer } from "vite";
import { cedarGlue, workerSource } from "../../../build/plugins.ts";
import { browsers } from "../../setup/launch.ts";

export interface Tabs {
  chromium: Tab;
  firefox: Tab;
  close(): Promise<void>;
}

export async function openTabs(): Promise<Tabs> {
  const scratch = await mkdtemp(join(tmpdir(), "vak-replay-"));
  const server = await createServer({
    configFile: false,
    root: fileURLToPath(new URL("../../..", import.meta.url)),
    cacheDir: scratch,
    logLevel: "error",
    plugins: [workerSource(), cedarGlue()],
    optimizeDeps: { noDiscovery: true },
    server: { port: 0, hmr: false, watch: null },
  });
  await server.listen();
  const open: Browser[] = [];
  const tabs: Partial<Record<"chromium" | "firefox", Tab>> = {};
  for (const { name, launch } of browsers) {
    const browser = await launch();
    open.push(browser);
    const tab = await browser.newPage();
    await tab.goto(`${server.resolvedUrls!.local[0]}test/e2e/replay/page.html`);
    await tab.waitForFunction(() => "page" in globalThis);
    tabs[name] = tab;
  }
  return {
    chromium: tabs.chromium!,
    firefox: tabs.firefox!,
    async close() {
      await Promise.all(open.map((browser) => browser.close()));
      await server.close();
      await rm(scratch, { recursive: true, force: true });
    },
  };
}
