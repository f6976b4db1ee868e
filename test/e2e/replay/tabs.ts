/** Pages in the two browsers that record and replay. */
import type { Browser, Page as Tab } from "playwright";
import { browsers } from "../../setup/launch.ts";
import { servePage } from "../../setup/page-server.ts";

export interface Tabs {
  chromium: Tab;
  firefox: Tab;
  close(): Promise<void>;
}

export async function openTabs(): Promise<Tabs> {
  const server = await servePage("test/e2e/replay/page.ts");
  const open: Browser[] = [];
  const tabs: Partial<Record<"chromium" | "firefox", Tab>> = {};
  for (const { name, launch } of browsers) {
    const browser = await launch();
    open.push(browser);
    const tab = await browser.newPage();
    await tab.goto(server.url);
    await tab.waitForFunction(() => "page" in globalThis);
    tabs[name] = tab;
  }
  return {
    chromium: tabs.chromium!,
    firefox: tabs.firefox!,
    async close() {
      await Promise.all(open.map((browser) => browser.close()));
      await server.close();
    },
  };
}
