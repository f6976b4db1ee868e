/** Kept files in tabs that are reloaded, opened twice, and closed during a write. */
import type { Browser, BrowserContext, Page as Tab } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildGuests } from "../../../scripts/guests.mjs";
import { browsers } from "../../setup/launch.ts";
import { type PageServer, servePage } from "../../setup/page-server.ts";

/** Set by page.ts, in the tabs. */
declare const page: typeof import("./page.ts").page;

let server: PageServer;

beforeAll(async () => {
  await buildGuests();
  server = await servePage("test/e2e/files/page.ts");
});
afterAll(() => server?.close());

describe.each(browsers)("$name", ({ launch }) => {
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    browser = await launch();
    context = await browser.newContext();
  });
  afterAll(() => browser?.close());

  async function open(): Promise<Tab> {
    const tab = await context.newPage();
    await tab.goto(server.url);
    await tab.waitForFunction(() => "page" in globalThis);
    return tab;
  }

  const shellOutput = (tab: Tab, name: string, ...lines: string[]) =>
    tab.evaluate(([name, ...lines]) => page.shellOutput(name!, ...lines), [name, ...lines]);

  test("files survive a reload, even if the agent was not closed", async () => {
    const tab = await open();
    expect(await shellOutput(tab, "reload", "mkdir /notes", "put /notes/today.txt buy apples")).toEqual(["ok", "ok"]);
    await tab.reload();
    await tab.waitForFunction(() => "page" in globalThis);
    const said = () => shellOutput(tab, "reload", "cat /notes/today.txt", "put /more yes");
    await expect.poll(said).toEqual(["buy apples", "ok"]); // the lock of the previous page is released soon, not at once
    await tab.close();
    const other = await open();
    await expect.poll(() => shellOutput(other, "reload", "ls /", "cat /more")).toEqual(["dev more notes", "yes"]);
    await other.close();
  });

  test("files in use in one tab are refused in another, until the first is closed", async () => {
    const [first, second] = [await open(), await open()];
    expect(await shellOutput(first, "tabs", "put /a one")).toEqual(["ok"]);
    expect(await shellOutput(second, "tabs", "cat /a")).toBe("files-in-use");
    await first.close();
    await expect.poll(() => shellOutput(second, "tabs", "cat /a")).toEqual(["one"]);
    await second.close();
  });

  test.each(["persist", "directory"] as const)(
    "attack: a tab is closed while it writes kept files (%s): each file is complete, and nothing saved is lost",
    async (kind) => {
      const name = `dying-${kind}`;
      let next = 1;
      for (let death = 0; death < 2; death++) {
        const tab = await open();
        let saved = next - 1;
        const enough = new Promise<void>((resolve) => {
          tab.on("console", (message) => {
            if (!message.text().startsWith("saved ")) return;
            saved = Number(message.text().slice("saved ".length));
            if (saved >= next + death) resolve();
          });
        });
        const dying = tab.evaluate(([kind, name, from]) => page.fill(kind, name, from), [kind, name, next] as const);
        await Promise.race([enough, dying]);
        // Close the tab while a later run's files are written.
        await Promise.all([tab.close(), dying.catch(() => {})]);

        const after = await open();
        let found: Record<string, number | string> = {};
        await expect
          .poll(async () => {
            found = await after.evaluate(([kind, name]) => page.readAll(kind, name), [kind, name] as const);
            return Object.keys(found).length;
          })
          .toBeGreaterThan(0);
        for (const n of Object.values(found)) expect(n, JSON.stringify({ saved, found })).toBeTypeOf("number");
        const { a, b, c, d, ...made } = found as Record<string, number>;
        const [least, most] = [Math.min(a!, b!, c!, d!), Math.max(a!, b!, c!, d!, ...Object.values(made))];
        // Nothing that was reported as saved is lost, and at most one run is saved in part.
        expect(least).toBeGreaterThanOrEqual(saved);
        expect(most - least).toBeLessThanOrEqual(kind === "persist" ? 0 : 1);
        next = most + 1;
        await after.close();
      }
    },
  );
});
