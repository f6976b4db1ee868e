/** `<vak-approval>` with the keyboard and the mouse, on a page with a strict Content Security Policy. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Server, serve } from "../serve.ts";
import { browsers } from "../setup/launch.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "vak-approval-"));
const open: { name: string; browser: Browser }[] = await Promise.all(
  browsers.map(async ({ name, launch }) => ({ name, browser: await launch() })),
);
let server: Server;

const html = `<!doctype html><html lang="en"><title>approval</title><meta name="viewport" content="width=device-width">
  <script type="module" src="/page.js"></script>
  <h1>A page</h1><p><label>Text <textarea id="text"></textarea></label></p><p><button id="other">Other</button></p>
  <vak-approval by="ann"></vak-approval></html>`;

/** Asks as the kernel does; the answers go into `answers`. */
const script = `
  import "/approval.js";
  const element = document.querySelector("vak-approval");
  globalThis.answers = [];
  globalThis.ask = (input, { run = "a/1", ms = 100000 } = {}) => {
    const end = new AbortController();
    const request = {
      agent: { id: "a", name: "summariser", program: "ab" }, run, call: 1,
      tool: { name: "refund", description: "Pays money back." }, input, labels: [],
      policies: ["large"], annotations: { large: { reason: "Money leaves the house." } },
      callDigest: "cd", expires: Date.now() + ms,
    };
    element.ask(request, { signal: end.signal })
      .then(({ approve, for: scope }) => answers.push(approve ? scope : "no"), ({ message }) => answers.push(message));
    return end;
  };`;

beforeAll(async () => {
  const build = await rolldown({ input: { approval: `${root}src/approval/index.ts` }, platform: "browser" });
  await build.write({ dir: folder, format: "es", entryFileNames: "[name].js" });
  await build.close();
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
    "base-uri 'none'",
    "img-src 'self'", // browsers ask for an icon
  ];
  server = await serve({
    directories: { "/": folder },
    pages: { "/page.html": html, "/page.js": script, "/favicon.ico": "" },
    headers: { "Content-Security-Policy": policy.join("; ") },
  });
});

afterAll(async () => {
  await Promise.all(open.map(({ browser }) => browser.close()));
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function visit(browser: Browser) {
  const context = await browser.newContext({ viewport: { width: 900, height: 700 } });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  // The test moves the clock, so that the speed of the machine does not matter.
  await page.clock.install({ time: 0 });
  await page.goto(`${server.url}/page.html`);
  await page.waitForFunction(() => "ask" in globalThis);
  await page.clock.pauseAt(3_600_000);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}

interface Globals {
  ask(input: unknown, options?: { run?: string; ms?: number }): AbortController;
  answers: string[];
}

const ask = (page: Page, input: unknown = { order: "A-17" }, run?: string) =>
  page.evaluate(
    ([input, run]) => void (globalThis as unknown as Globals).ask(input, run === undefined ? {} : { run }),
    [input, run] as const,
  );
const answers = (page: Page) => page.evaluate(() => (globalThis as unknown as Globals).answers);
const dialog = (page: Page) => page.getByRole("alertdialog", { name: "Let summariser use refund?" });
const button = (page: Page, name: string) => dialog(page).getByRole("button", { name, exact: true });
/** Lets time pass, without a key or a press, until buttons count. */
async function armed(page: Page): Promise<void> {
  await page.clock.runFor(699);
  expect(await button(page, "Allow once").getAttribute("aria-disabled")).toBe("true");
  await page.clock.runFor(1);
  expect(await button(page, "Allow once").getAttribute("aria-disabled")).toBe("false");
}
/** What has the focus, in the dialog or on the page. */
const focused = (page: Page) =>
  page.evaluate(() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    return at instanceof HTMLButtonElement ? at.textContent : at?.id || at?.className || at?.tagName;
  });

test.each(open)("$name: it works with the keyboard alone, and gives the focus back", async ({ browser }) => {
  await using tab = await visit(browser);
  const { page, complaints } = tab;
  await page.focus("#text");
  await ask(page);
  await dialog(page).waitFor();
  expect(await focused(page)).toBe("title"); // not a button
  await armed(page);
  const order = [];
  for (let i = 0; i < 4; i++) {
    await page.keyboard.press("Tab");
    order.push(await focused(page));
  }
  expect(order).toEqual(["body", "Deny", "Allow for this run", "Allow once"]);
  const outline = await button(page, "Allow once").evaluate((element) => getComputedStyle(element).outlineStyle);
  expect(outline).toBe("solid");
  await page.keyboard.press("Enter");
  await dialog(page).waitFor({ state: "hidden" });
  expect(await answers(page)).toEqual(["call"]);
  expect(await focused(page)).toBe("text");

  await ask(page);
  await armed(page);
  for (let i = 0; i < 3; i++) await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  await expect.poll(() => answers(page)).toEqual(["call", "run"]);

  await ask(page);
  await dialog(page).waitFor();
  await page.keyboard.press("Escape"); // at any time
  await expect.poll(() => answers(page)).toEqual(["call", "run", "no"]);
  await dialog(page).waitFor({ state: "hidden" });
  expect(await focused(page)).toBe("text");
  expect(complaints).toEqual([]);
});

test.each(open)("$name: the focus does not leave it while it is open", async ({ browser }) => {
  await using tab = await visit(browser);
  const { page } = tab;
  await ask(page);
  await armed(page);
  const seen = new Set<string | undefined>();
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    seen.add(await focused(page));
  }
  expect(seen.has("text") || seen.has("other")).toBe(false);
  await page.keyboard.press("Shift+Tab");
  expect(await answers(page)).toEqual([]);
});

test.each(open)(
  "$name: attack: asked while somebody types. No key that follows allows or denies",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page } = tab;
    await page.focus("#text");
    await page.keyboard.type("to be ");
    await ask(page);
    // Without a pause, past the time at which buttons would otherwise count.
    for (const key of [..."or not \n", "Tab", "Tab", "Tab", "Tab", "Enter", "Space"]) {
      await page.clock.runFor(650);
      await page.keyboard.press(key === "\n" ? "Enter" : key);
    }
    expect(await answers(page)).toEqual([]);
    expect(await button(page, "Allow once").getAttribute("aria-disabled")).toBe("true");
    await armed(page);
    expect(await answers(page)).toEqual([]);
  },
);

test.each(open)(
  "$name: attack: a key that was held down before. It allows nothing, however long it is held",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page } = tab;
    for (const key of ["Enter", " "]) {
      await page.focus("#other");
      await page.keyboard.down(key);
      await ask(page);
      await dialog(page).waitFor();
      await button(page, "Allow once").focus();
      await page.keyboard.down(key); // repeats
      await armed(page);
      await page.keyboard.down(key);
      await page.keyboard.up(key);
      await page.clock.runFor(50);
      expect(await answers(page)).toEqual([]);
      // Pressed again, it counts.
      await page.keyboard.press(key);
      await expect.poll(() => answers(page)).toEqual(["call"]);
      await page.evaluate(() => (globalThis as unknown as Globals).answers.splice(0));
    }
  },
);

test.each(open)(
  "$name: attack: a click meant for the page, or for the previous request. It allows nothing",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page } = tab;
    await ask(page, { order: "A-17" });
    await ask(page, { order: "B-04" }, "a/2");
    const box = (await button(page, "Allow once").boundingBox())!;
    const at = [box.x + box.width / 2, box.y + box.height / 2] as const;
    await page.mouse.dblclick(...at);
    expect(await answers(page)).toEqual([]);
    // Pressed before buttons count and released after: that click does not count.
    await page.mouse.move(...at);
    await page.mouse.down();
    await armed(page);
    await page.mouse.up();
    await page.clock.runFor(50);
    expect(await answers(page)).toEqual([]);
    // A double click allows one, not the next, whose button is in the same place.
    await page.mouse.dblclick(...at);
    await expect.poll(() => answers(page)).toEqual(["call"]);
    expect(await dialog(page).innerText()).toContain("B-04");
    await armed(page);
    expect(await answers(page)).toEqual(["call"]);
    await button(page, "Deny").click();
    await expect.poll(() => answers(page)).toEqual(["call", "no"]);
  },
);

test.each(open)(
  "$name: a request that ends while it is shown closes the dialog, gives the focus back and is announced",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page } = tab;
    await page.focus("#other");
    await page.evaluate(() => {
      const end = (globalThis as unknown as Globals).ask({ order: "A-17" });
      setTimeout(() => end.abort(new Error("It is too late to answer.")), 1500);
    });
    await armed(page);
    await page.clock.runFor(800);
    await dialog(page).waitFor({ state: "hidden" });
    expect(await answers(page)).toEqual(["It is too late to answer."]);
    expect(await focused(page)).toBe("Other");
    await page.getByRole("status").filter({ hasText: "The request has ended" }).waitFor();
  },
);

test.each(open)(
  "$name: it fits every screen from a phone's to a wide one, and the buttons are always visible",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page } = tab;
    await ask(page, { text: "A long text. ".repeat(300), other: "x".repeat(500) });
    await armed(page);
    for (const [width, height] of [
      [320, 568],
      [390, 844],
      [844, 390],
      [1440, 900],
    ] as const) {
      await page.setViewportSize({ width, height });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide, `at ${width}`).toBeLessThanOrEqual(width);
      for (const name of ["Deny", "Allow for this run", "Allow once"]) {
        const box = (await button(page, name).boundingBox())!;
        expect(box.x >= 0 && box.x + box.width <= width && box.y >= 0 && box.y + box.height <= height, name).toBe(true);
        expect(box.height).toBeGreaterThanOrEqual(40);
      }
    }
  },
);
