/** The playground as it is published: the built site, on any host, under any path, without special headers. */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, firefox, type Page } from "playwright";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";
import { redecide } from "../../src/policy/redecide.ts";
import { cedarWasmUrl } from "../../src/policy/wasm-url.ts";
import { type Server, serve } from "../serve.ts";
import { found } from "../setup/launch.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const path = "/some/where/else/";
/** Of this process alone: another that builds the site meanwhile must not empty it. */
const scratch = await mkdtemp(join(tmpdir(), "vak-playground-"));
const site = join(scratch, "site");
const downloads = join(scratch, "downloads");
await mkdir(downloads);

/** Stock Firefox saves a blob, when told not to ask, but says nothing of it: the file has to be looked for. */
const saving = {
  "browser.download.dir": downloads,
  "browser.download.folderList": 2,
  "browser.download.useDownloadDir": true,
  "browser.helperApps.neverAsk.saveToDisk": "application/zip",
};
const open = [
  { name: "chromium", browser: await chromium.launch(found("chromium")) },
  {
    name: "firefox",
    browser: await firefox.launch({ ...found("firefox"), downloadsPath: downloads, firefoxUserPrefs: saving }),
  },
];
let server: Server;

beforeAll(async () => {
  await build({ configFile: `${root}demo/vite.config.ts`, logLevel: "error", build: { outDir: site } });
  server = await serve({ directories: { [path]: site } });
});
afterAll(async () => {
  await Promise.all(open.map(({ browser }) => browser.close()));
  await server?.close();
  await rm(scratch, { recursive: true, force: true });
});

/** A page of its own origin storage, ready to run, and what it complained of. */
async function visit(browser: Browser, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(server.url + path);
  await status(page, /^Ready$/);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}

const status = (page: Page, text: RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor();
const terminal = (page: Page) => page.getByRole("region", { name: "Output of the program" });
const prints = (page: Page, text: string) => terminal(page).filter({ hasText: text }).waitFor();
const calls = (page: Page, what: string) => page.getByRole("log").getByRole("button", { name: what });
const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();
const choose = (page: Page, name: string) => page.getByRole("radio", { name }).check({ force: true });

/** Replaces all of an editor's text, as someone at the keyboard does. */
async function write(page: Page, editor: string, text: string): Promise<void> {
  await page.getByRole("textbox", { name: editor }).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(text);
}

/** What Export saves as log.zip. */
async function exported(page: Page): Promise<Uint8Array> {
  if (page.context().browser()?.browserType() === chromium) {
    const downloading = page.waitForEvent("download");
    await press(page, "Export");
    const download = await downloading;
    expect(download.suggestedFilename()).toBe("log.zip");
    return readFile(await download.path());
  }
  await press(page, "Export");
  const file = join(downloads, "log.zip");
  await expect.poll(() => readFile(file).then(openBundle).then(Boolean, String), { timeout: 20_000 }).toBe(true);
  return readFile(file);
}

test.each(open)("$name: the job runs, streams, is governed and is measured", async ({ browser }) => {
  await using tab = await visit(browser);
  const { page, complaints } = tab;
  // Seen in the page itself, since a look from outside may come when all is over: what it prints is there before it ends.
  await page.evaluate(() => {
    const [screen, stop] = [document.getElementById("screen")!, document.getElementById("stop")!];
    new MutationObserver((_, observer) => {
      const text = screen.innerText;
      if (!text.includes("3 requests tonight")) return;
      const running = stop.getAttribute("aria-disabled") !== "true" && !text.includes("report.json");
      screen.dataset.streamed = String(running);
      observer.disconnect();
    }).observe(screen, { childList: true, subtree: true, characterData: true });
  });
  await press(page, "Run");
  await status(page, /^Done: exited 0$/);
  await prints(page, "3 requests tonight");
  expect(await terminal(page).getAttribute("data-streamed")).toBe("true");

  await calls(page, 'Allowed set_lamp color: "amber" by notes-and-lamp → {"lamp":"amber"}').waitFor();
  const rows = (await page.getByRole("log").getByRole("button").allInnerTexts()).map((row) => row.replace(/\s+/g, " "));
  expect(rows.filter((row) => row.includes("Allowed"))).toHaveLength(7);
  expect(rows.filter((row) => row.includes("Denied"))).toHaveLength(3);
  expect(rows.find((row) => row.includes("amount: 20,"))).toMatch(
    /Allowed refund .*order: "A-17" by small-refunds → \{"till":480\}/,
  );
  expect(rows.find((row) => row.includes("amount: 240,"))).toMatch(/Denied refund .* no policy permits it no effect/);
  expect(rows.find((row) => row.includes("delete_account"))).toMatch(
    /Denied .*"Ada" forbidden by accounts-stay no effect/,
  );

  // 500 less the two refunds that were allowed; nobody deleted, nothing sent.
  expect(await page.locator("#shop-till").innerText()).toBe("€ 462");
  expect(await page.locator("#shop-accounts").innerText()).toBe("Ada\nGrace\nLinus");
  expect(await page.locator("#shop-outbox").innerText()).toBe("nothing sent");
  expect(await page.locator("#shop-lamp-name").innerText()).toBe("amber");

  const usage = (await page.locator("#usage").innerText()).replace(/\s+/g, " ");
  expect(usage).toMatch(
    /Fuel \d+ M of 200 G Memory [\d.]+ MiB of 128 MiB Time [\d.]+ s of 30 s Output \d+ B of 256 KiB Calls 10 of 100/,
  );
  expect(complaints).toEqual([]);
});

test.each(open)(
  "$name: an endless loop is stopped, a flood stops at its limit, and the next run works",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page, complaints } = tab;
    await choose(page, "Endless loop");
    await press(page, "Run");
    await prints(page, "1,000,000 turns");
    await press(page, "Stop");
    await status(page, /^Done: stopped by you$/);

    await choose(page, "Flood");
    await press(page, "Run");
    await status(page, /^Done: stopped at the output limit$/);
    await prints(page, "All work and no play");

    await choose(page, "Break the rules");
    await press(page, "Run");
    await status(page, /^Done: exited 0$/);
    const output = await terminal(page).innerText();
    expect(output).not.toContain("GOT THROUGH");
    expect(output).toContain("bite 9: A policy forbids this call.");
    expect(await page.locator("#shop-till").innerText()).toBe("€ 460");
    expect(complaints).toEqual([]);
  },
);

test.each(open)(
  "$name: the log verifies, in the page and exported; one flipped byte is refused",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page, complaints } = tab;
    await press(page, "Run");
    await status(page, /^Done: exited 0$/);

    await press(page, "Verify");
    const sheet = page.getByRole("dialog");
    await sheet.getByText("Nothing is wrong").waitFor();
    expect(await sheet.innerText()).toMatch(/7 allowed, 3 denied/);
    await press(page, "Close");

    await page.getByRole("checkbox", { name: "Flip a byte" }).check({ force: true });
    for (let i = 0; i < 5; i++) {
      await press(page, "Verify");
      await sheet.getByText(/^Refused$/).waitFor();
      expect(await sheet.innerText()).toMatch(/Byte \d+ of \S+ changed/);
      await press(page, "Close");
    }

    await calls(page, "Denied delete_account").click();
    await sheet.getByText(/^Leaf \d+ hashes up to the signed root of \d+ entries$/).waitFor();
    expect(await sheet.innerText()).toMatch(/"name": "Ada"/);
    await press(page, "Close");

    const bundle = await openBundle(await exported(page));
    const report = await verify(bundle);
    const { decisions, agreed, differing } = await redecide(bundle, { wasm: await readFile(cedarWasmUrl) });
    expect({ agreed, differing }).toEqual({ agreed: decisions, differing: [] });
    expect(decisions).toBeGreaterThan(0);
    expect(report.problems).toEqual([]);
    expect(report.entries).toMatchObject({ intent: 7, outcome: 7, denial: 3 });
    expect(complaints).toEqual([]);
  },
);

test.each(open)(
  "$name: a run is executed again, and is the same; its timeline goes back to any call",
  async ({ browser }) => {
    await using tab = await visit(browser);
    const { page, complaints } = tab;
    await press(page, "Run");
    await status(page, /^Done: exited 0$/);
    await press(page, "Replay");
    const sheet = page.getByRole("dialog");
    await sheet.getByText("The same", { exact: true }).waitFor();
    expect(await sheet.innerText()).toMatch(/10 calls, [\d.]+ M of fuel/);
    const slider = sheet.getByRole("slider", { name: "Go back to" });
    const output = sheet.getByLabel("Output so far");
    const whole = await output.innerText();
    expect(whole).toContain("3 requests tonight");

    await slider.press("Home");
    expect(await sheet.locator("#timeline-where").innerText()).toMatch(/^Call 1 of 10 · /);
    const before = await output.innerText();
    expect(whole.startsWith(before)).toBe(true);
    expect(before.length).toBeLessThan(whole.length);
    await slider.press("ArrowRight");
    expect(await sheet.locator("#timeline-where").innerText()).toMatch(/^Call 2 of 10 · /);
    await sheet.getByRole("button", { name: "Look inside" }).click();
    await sheet.getByText("requests.json").waitFor();
    expect(await sheet.innerText()).toMatch(/\d+ pages of memory, \d+ globals/);
    // What is inside follows the slider, forwards and back.
    for (const key of ["End", "ArrowLeft", "Home", "ArrowRight"]) {
      await slider.press(key);
      await sheet.getByText(/\d+ pages of memory/).waitFor();
    }

    await sheet.getByRole("button", { name: "Fork from here" }).click();
    await sheet.waitFor({ state: "hidden" });
    await prints(page, "going on from call 2");
    await status(page, /^Done: exited 0$/);
    expect(await terminal(page).innerText()).toContain("3 requests tonight");
    expect(complaints).toEqual([]);
  },
);

test.each(open)("$name: errors are shown where they belong", async ({ browser }) => {
  await using tab = await visit(browser);
  const { page } = tab;
  await write(page, "Policy, in Cedar", '// a slip\npermit (principal, action == Action::"call:refnd", resource);');
  await press(page, "Run");
  const problem = page.locator("#problem");
  await problem.filter({ hasText: /line 2, column \d+/ }).waitFor();
  expect(await page.locator(".cm-fault").innerText()).toContain("refnd");
  await press(page, "Go there");
  expect(
    await page.getByRole("textbox", { name: "Policy, in Cedar" }).evaluate((e) => e === document.activeElement),
  ).toBe(true);

  await write(page, "Program, in Python", "import vak\nprint('so far')\nvak.call('refund', order='A-17', amount=1)");
  await write(page, "Policy, in Cedar", "// permits nothing");
  expect(await problem.isHidden()).toBe(true);
  await page.keyboard.press("ControlOrMeta+Enter");
  await status(page, /^Done: exited 1$/);
  const output = await terminal(page).innerText();
  expect(output).toContain("so far");
  expect(output).toContain("Traceback (most recent call last)");
  expect(output).toContain("vak.Denied: No policy permits this call.");

  // A log has one writer: the second tab says so, and what to do.
  const second = await page.context().newPage();
  await second.goto(server.url + path);
  await second.getByRole("alert").filter({ hasText: "Another tab or kernel writes this log" }).waitFor();
  await second.getByRole("button", { name: "Use another log" }).click();
  await status(second, /^Ready$/);
});

test.each(open)("$name: everything can be done with the keyboard alone", async ({ browser }) => {
  await using tab = await visit(browser);
  const { page } = tab;
  const focused = () =>
    page.evaluate(() => document.activeElement?.id || (document.activeElement as HTMLInputElement | null)?.name);
  const tabTo = async (id: string, key = "Tab") => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press(key);
      if ((await focused()) === id) return;
    }
    throw new Error(`Tab does not lead to ${id}`);
  };
  // One that runs until it is stopped, so that the keys find it running.
  await tabTo("example");
  for (let i = 0; i < 10 && !(await page.getByRole("radio", { name: "Endless loop" }).isChecked()); i++) {
    await page.keyboard.press("ArrowRight");
  }
  await tabTo("run", "Shift+Tab");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
  expect(outline).not.toBe("none");
  await page.keyboard.press("Enter");
  await status(page, /^Running$/);
  expect(await focused()).toBe("run"); // the focus is not lost though Run can do nothing now
  await page.keyboard.press("Escape");
  await status(page, /^Done: stopped by you$/);

  // An editor takes no Tab: the way leads through it.
  await tabTo("screen");
  await tabTo("verify");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByText("Nothing is wrong").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  expect(await focused()).toBe("verify");

  await page.getByRole("textbox", { name: "Program, in Python" }).focus();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("print(1)");
  await page.keyboard.press("ControlOrMeta+Enter");
  await status(page, /^Done: exited 0$/);
});

const themes = open.flatMap((each) => (["light", "dark"] as const).map((colorScheme) => ({ ...each, colorScheme })));

test.each(themes)("$name, $colorScheme: names, headings, ids and contrast", async ({ browser, colorScheme }) => {
  await using tab = await visit(browser, { colorScheme, reducedMotion: "reduce" });
  const { page } = tab;
  await press(page, "Run");
  await status(page, /^Done: exited 0$/);
  expect(await page.evaluate(faults)).toEqual([]);
  await press(page, "Verify");
  await page.getByRole("dialog").getByText("Nothing is wrong").waitFor();
  expect(await page.evaluate(faults)).toEqual([]);
  await press(page, "Close");
  await press(page, "Dark theme");
  expect(await page.evaluate(faults)).toEqual([]);
});

test.each(open)("$name: it fits from a phone to a wide screen", async ({ browser }) => {
  await using tab = await visit(browser);
  const { page } = tab;
  for (const width of [320, 390, 768, 1024, 1180, 1440, 1920]) {
    await page.setViewportSize({ width, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `at ${width}`).toBeLessThanOrEqual(width);
    expect(await page.getByRole("button", { name: "Run" }).isVisible()).toBe(true);
  }
  await page.setViewportSize({ width: 390, height: 844 });
  expect(await terminal(page).isVisible()).toBe(false);
  await press(page, "Run");
  await prints(page, "3 requests tonight");
  await choose(page, "Log");
  await calls(page, "Denied delete_account").waitFor();
});

test("nothing moves while it loads and runs", async () => {
  const { browser } = open.find(({ name }) => name === "chromium")!; // the one that says what has moved
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(() => {
    const moved: string[] = [];
    Object.assign(globalThis, { moved });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; sources: { node?: Node }[] })[]) {
        // Text that is replaced in its place counts a little; what stands still round it does not.
        const parts = entry.sources.map(({ node }) => (node instanceof Element ? node.outerHTML.slice(0, 80) : "text"));
        if (entry.value > 0.001) moved.push(`${entry.value.toFixed(4)}: ${parts.join(" | ")}`);
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(server.url + path);
  await status(page, /^Ready$/);
  await press(page, "Run");
  await status(page, /^Done: exited 0$/);
  expect(await page.evaluate(() => (globalThis as unknown as { moved: string[] }).moved)).toEqual([]);
  await context.close();
});

/** Runs in the page: what a screen reader or a tired eye would stumble over. */
async function faults(): Promise<string[]> {
  await Promise.all(document.getAnimations().map(({ finished }) => finished.catch(() => {})));
  const found: string[] = [];
  const visible = (element: Element) => element.checkVisibility({ opacityProperty: false, visibilityProperty: true });
  const describe = (element: Element) => element.outerHTML.slice(0, 120);
  const name = (element: Element) =>
    element.getAttribute("aria-label") ??
    (element.getAttribute("aria-labelledby")?.split(" ") ?? [])
      .map((id) => document.getElementById(id)?.textContent)
      .concat([...((element as HTMLInputElement).labels ?? [])].map((label) => label.textContent))
      .concat(element.textContent)
      .join("");

  for (const control of document.querySelectorAll(
    "button, a[href], input, select, textarea, progress, dialog, [contenteditable=true], [tabindex], [role=region], section",
  )) {
    if (visible(control) && !name(control)?.trim()) found.push(`no name: ${describe(control)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`twice: #${id}`);
  for (const svg of document.querySelectorAll("svg, img")) {
    if (!svg.closest("[aria-hidden=true]") && !name(svg)?.trim()) found.push(`no alternative: ${describe(svg)}`);
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`a level is left out before: ${describe(heading)}`);
    level = next;
  }

  // Contrast, as WCAG 2.2 defines it, of all text against the nearest opaque background.
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
  const rgba = (color: string) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    return pixel.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (color: string) => {
    const [r, g, b] = [...rgba(color).slice(0, 3)].map((c) => {
      const share = c / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const background = (element: Element | null): string => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
    return "white";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement!;
    if (!node.textContent!.trim() || !visible(element) || /^(SCRIPT|STYLE|NOSCRIPT)$/.test(element.tagName)) continue;
    if (element.closest("[aria-disabled=true], :disabled")) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(background(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(2)}: ${describe(element)}`);
  }
  return found;
}
