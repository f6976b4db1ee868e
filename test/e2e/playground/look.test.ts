/** The playground can be read and used by everybody: keyboard, screen reader, contrast, phone. */
import { expect, test } from "vitest";
import {
  answer,
  asked,
  calls,
  choose,
  open,
  path,
  press,
  prints,
  run,
  server,
  shared,
  status,
  terminal,
  visit,
  write,
} from "./site.ts";

const darkAndStill = { "layout.css.prefers-color-scheme.content-override": 0, "ui.prefersReducedMotion": 1 };
const browsers = await open(darkAndStill);

/** A page on which nothing has been done yet, for what can be done one after the other. */
const plain = shared((browser) => visit(browser));

/** Of the Layout Instability API, which the types of the DOM do not have. */
interface LayoutShift extends PerformanceEntry {
  value: number;
  sources: { node?: Node; previousRect: DOMRectReadOnly; currentRect: DOMRectReadOnly }[];
}

/** A page on which the job has run once, and what has moved until then, where the browser says so. */
const afterJob = shared(async (browser) => {
  const tab = await visit(browser, () => {
    if (!PerformanceObserver.supportedEntryTypes.includes("layout-shift")) return;
    const moved: string[] = [];
    Object.assign(globalThis, { moved });
    new PerformanceObserver((list) => {
      for (const { value, sources } of list.getEntries() as LayoutShift[]) {
        // Text replaced in its line, as the figures of usage are, moves nothing, however many are replaced at once.
        const near = (a: number, b: number) => Math.abs(a - b) < 1;
        const replaced = ({ node, previousRect: before, currentRect: now }: LayoutShift["sources"][number]) =>
          node instanceof Text && near(before.y, now.y) && (near(before.x, now.x) || near(before.right, now.right));
        const parts = sources
          .filter((part) => !replaced(part))
          .map(({ node }) => (node instanceof Element ? node.outerHTML.slice(0, 80) : `text ${node?.textContent}`));
        if (value > 0.001 && parts.length > 0) moved.push(`${value.toFixed(4)}: ${parts.join(" | ")}`);
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  await run(tab.page);
  const moved = await tab.page.evaluate(() => (globalThis as unknown as { moved?: string[] }).moved);
  return { ...tab, moved };
});

test.each(browsers)("$name: it fits from a phone to a wide screen", async ({ browser }) => {
  const { page } = await plain(browser);
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
  await status(page, /^Done: exited 0$/);
  await page.setViewportSize({ width: 1440, height: 900 });
});

test.each(browsers)("$name: everything can be done with the keyboard alone", async ({ browser }) => {
  const { page } = await plain(browser);
  await page.getByRole("heading", { level: 1 }).click(); // from the top, as on a fresh page
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
  await page.getByRole("dialog").getByText("The log verifies").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  expect(await focused()).toBe("verify");

  await page.getByRole("textbox", { name: "Program, in Python" }).focus();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("if 1:");
  await page.keyboard.press("Enter"); // the editor indents the next line
  await page.keyboard.type('print("typed")');
  await page.keyboard.press("ControlOrMeta+Enter");
  await status(page, /^Done: exited 0$/);
  await prints(page, "typed");
});

test.each(browsers)("$name: errors are shown where they belong", async ({ browser }) => {
  const { page } = await plain(browser);
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
  await second.getByRole("alert").filter({ hasText: "Another tab or kernel is writing this log" }).waitFor();
  await second.getByRole("button", { name: "Use another log" }).click();
  await status(second, /^Ready$/);
});

test("nothing moves while it loads and runs", async () => {
  const { browser } = browsers.find(({ name }) => name === "chromium")!; // the one that says what has moved
  expect((await afterJob(browser)).moved).toEqual([]);
});

/** The system themes that each browser can have: Firefox keeps the dark one that it was started with. */
const themes: Record<string, readonly ("light" | "dark")[]> = { chromium: ["light", "dark"], firefox: ["dark"] };

test.each(browsers)("$name, light and dark: names, headings, ids and contrast", async ({ name, browser }) => {
  const { page } = await afterJob(browser);
  /** Gives the system a theme, and stills the page. */
  const system = async (colorScheme: "light" | "dark") => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const media = `(prefers-color-scheme: ${colorScheme}) and (prefers-reduced-motion: reduce)`;
    expect(await page.evaluate((media) => matchMedia(media).matches, media)).toBe(true);
  };
  const pageAndSheet = async (theme: string) => {
    expect(await page.evaluate(faults, undefined), theme).toEqual([]);
    await press(page, "Verify");
    await page.getByRole("dialog").getByText("The log verifies").waitFor();
    expect(await page.evaluate(faults, undefined), theme).toEqual([]);
    await press(page, "Close");
  };
  for (const theme of themes[name]!) {
    await system(theme);
    await pageAndSheet(`${theme}, as the system's`);
  }

  // Each theme when a person chooses it, against the system's where the browser can emulate that.
  await choose(page, "Ask me");
  for (const theme of ["light", "dark"] as const) {
    const other = theme === "light" ? "dark" : "light";
    if (themes[name]!.includes(other)) await system(other);
    await press(page, "Dark theme");
    expect(await page.locator("html").getAttribute("data-theme")).toBe(theme);
    await pageAndSheet(`${theme}, chosen`);
    await press(page, "Run");
    for (const question of ["Let python use refund?", "Let python use send_email?"]) {
      await asked(page, question).getByRole("button", { name: "Deny", disabled: false }).waitFor();
      expect(await page.evaluate(faults, "vak-approval"), `${theme}, chosen`).toEqual([]);
      await answer(page, "Deny");
    }
    await asked(page, "Let python use send_email?").filter({ hasText: "U+202E" }).waitFor();
    await page.keyboard.press("Escape");
    await status(page, /^Done: exited 0$/);
  }
});

/**
 * Runs in the page: what a screen reader or a tired eye would stumble over.
 *
 * @param host whose shadow tree is looked at, in the place of the page
 */
async function faults(host: string | undefined): Promise<string[]> {
  const root = host === undefined ? document : document.querySelector(host)!.shadowRoot!;
  const ending = document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().endTime !== Infinity);
  await Promise.all(ending.map(({ finished }) => finished.catch(() => {})));
  const found: string[] = [];
  const visible = (element: Element) => element.checkVisibility({ opacityProperty: false, visibilityProperty: true });
  const describe = (element: Element) => element.outerHTML.slice(0, 120);
  const name = (element: Element) =>
    element.getAttribute("aria-label") ??
    (element.getAttribute("aria-labelledby")?.split(" ") ?? [])
      .map((id) => root.getElementById(id)?.textContent)
      .concat([...((element as HTMLInputElement).labels ?? [])].map((label) => label.textContent))
      .concat(element.textContent)
      .join("");

  for (const control of root.querySelectorAll(
    "button, a[href], input, select, textarea, progress, dialog, [contenteditable=true], [tabindex], [role=region], section",
  )) {
    if (visible(control) && !name(control)?.trim()) found.push(`no name: ${describe(control)}`);
  }
  const ids = [...root.querySelectorAll("[id]")].map(({ id }) => id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`twice: #${id}`);
  for (const svg of root.querySelectorAll("svg, img")) {
    if (!svg.closest("[aria-hidden=true]") && !name(svg)?.trim()) found.push(`no alternative: ${describe(svg)}`);
  }
  if (root === document && document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  let level = root === document ? 0 : 1;
  for (const heading of root.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`a level is left out before: ${describe(heading)}`);
    level = next;
  }

  // Contrast, as WCAG 2.2 defines it, of all text against the nearest opaque background.
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
  const known = new Map<string, Uint8ClampedArray>(); // reading pixels is slow, and a page has few colours
  const rgba = (color: string) => {
    const before = known.get(color);
    if (before) return before;
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    const { data } = pixel.getImageData(0, 0, 1, 1);
    known.set(color, data);
    return data;
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
  const walker = document.createTreeWalker(root === document ? document.body : root, NodeFilter.SHOW_TEXT);
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
