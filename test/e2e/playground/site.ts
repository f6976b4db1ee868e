/**
 * The playground as it is published: the built site, on any host, under any path, without special headers. For the
 * tests beside this file: who imports it has it built and served for as long as the file of tests runs.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, firefox, type Page } from "playwright";
import { build } from "vite";
import { afterAll, beforeAll, expect } from "vitest";
import { openBundle } from "../../../src/audit/index.ts";
import { type Server, serve } from "../../serve.ts";
import { buildCli } from "../../setup/cli.ts";
import { launch, launchOptions } from "../../setup/launch.ts";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const path = "/some/where/else/";
/** Of this process alone: another that builds the site meanwhile must not empty it. */
export const scratch = await mkdtemp(join(tmpdir(), "vak-playground-"));
/** Where the site is: `npm test` has built it, who runs one file of tests has not. */
const built = process.env.VAK_BUILT === "1";
const site = built ? `${root}dist/playground` : join(scratch, "site");
const downloads = join(scratch, "downloads");
await mkdir(downloads);

/** Stock Firefox saves a blob, when told not to ask, but says nothing of it: the file has to be looked for. */
const saving = {
  "browser.download.dir": downloads,
  "browser.download.folderList": 2,
  "browser.download.useDownloadDir": true,
  "browser.helperApps.neverAsk.saveToDisk": "application/zip",
};
export let server: Server;
export let vak: Awaited<ReturnType<typeof buildCli>>;

beforeAll(async () => {
  if (!built) await build({ configFile: `${root}vite.config.ts`, logLevel: "error", build: { outDir: site } });
  server = await serve({ directories: { [path]: site } });
  vak = await buildCli(join(scratch, "cli"));
});
afterAll(async () => {
  await server?.close();
  await rm(scratch, { recursive: true, force: true });
});

/**
 * Starts the browsers, for as long as the file of tests runs.
 *
 * @param firefoxUserPrefs what else Firefox is started with, because Playwright cannot emulate media features in it
 */
export async function open(firefoxUserPrefs: Record<string, number> = {}) {
  const browsers = [
    { name: "chromium", browser: await launch(chromium, launchOptions("chromium")) },
    {
      name: "firefox",
      browser: await launch(firefox, {
        ...launchOptions("firefox"),
        downloadsPath: downloads,
        firefoxUserPrefs: { ...saving, ...firefoxUserPrefs },
      }),
    },
  ];
  afterAll(() => Promise.all(browsers.map(({ browser }) => browser.close())));
  return browsers;
}

/**
 * A page of its own origin storage, ready to run, and what it complained of.
 *
 * @param before runs in the page before its own scripts
 */
export async function visit(browser: Browser, before?: () => void) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  if (before) await page.addInitScript(before);
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(server.url + path);
  await status(page, /^Ready$/);
  return { page, complaints };
}

/**
 * A page that the tests of a file share, one in each browser, opened when the first of them asks for it: to load
 * CPython and Cedar once more takes longer than most tests. Each test leaves it so that the next one finds what it
 * expects.
 */
export function shared<Tab>(make: (browser: Browser) => Promise<Tab>): (browser: Browser) => Promise<Tab> {
  const tabs = new Map<Browser, Promise<Tab>>();
  return (browser) => {
    const tab = tabs.get(browser) ?? make(browser);
    tabs.set(browser, tab);
    return tab;
  };
}

export const status = (page: Page, text: RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor();
export const terminal = (page: Page) => page.getByRole("region", { name: "Output of the program" });
export const prints = (page: Page, text: string) => terminal(page).filter({ hasText: text }).waitFor();
export const calls = (page: Page, what: string) => page.getByRole("log").getByRole("button", { name: what });
export const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();
/** Runs what is in the editor, to its good end. */
export const run = async (page: Page) => {
  await press(page, "Run");
  await status(page, /^Done: exited 0$/);
};
export const choose = (page: Page, name: string) => page.getByRole("radio", { name }).check({ force: true });

/** Replaces all of an editor's text, as someone does who pastes. Key by key, a policy takes 10 s. */
export async function write(page: Page, editor: string, text: string): Promise<void> {
  await page.getByRole("textbox", { name: editor }).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.press("Delete"); // Firefox inserts into what is selected with line breaks of its own
  await page.keyboard.insertText(text);
}

/** What Export saves as log.zip. */
export async function exported(page: Page): Promise<Uint8Array> {
  if (page.context().browser()?.browserType() === chromium) {
    const downloading = page.waitForEvent("download");
    await press(page, "Export");
    const download = await downloading;
    expect(download.suggestedFilename()).toBe("log.zip");
    return readFile(await download.path());
  }
  const file = join(downloads, "log.zip");
  await rm(file, { force: true }); // an earlier test's: this one would get another name
  await press(page, "Export");
  await expect.poll(() => readFile(file).then(openBundle).then(Boolean, String)).toBe(true);
  return readFile(file);
}

export const asked = (page: Page, name: string) => page.getByRole("alertdialog", { name });
export const answer = (page: Page, name: string) =>
  page.getByRole("alertdialog").getByRole("button", { name, exact: true, disabled: false }).click();
