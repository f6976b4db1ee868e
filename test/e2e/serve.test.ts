/** The headers of the test server, in real browsers. */
import { afterAll, expect, test } from "vitest";
import { isolation, serve } from "../serve.ts";
import { browsers } from "../setup/launch.ts";

const page = `<!doctype html><title>t</title><script type="module">document.title = String(crossOriginIsolated)</script>`;
const open = await Promise.all(browsers.map(async ({ name, launch }) => ({ name, browser: await launch() })));
afterAll(() => Promise.all(open.map(({ browser }) => browser.close())));

test.each(open)(
  "$name: a page is cross-origin isolated with the headers, and not without them",
  async ({ browser }) => {
    for (const [headers, isolated] of [
      [isolation, "true"],
      [{}, "false"],
    ] as const) {
      const server = await serve({ directories: {}, pages: { "/": page }, headers });
      try {
        const tab = await browser.newPage();
        await tab.goto(server.url);
        await tab.waitForFunction(() => document.title !== "t");
        expect(await tab.title()).toBe(isolated);
        await tab.close();
      } finally {
        await server.close();
      }
    }
  },
);
