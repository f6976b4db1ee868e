/** The browsers that Playwright drives, for tests and benches that open pages of their own. */
import { type Browser, type BrowserType, chromium, firefox, type LaunchOptions } from "playwright";
import { findBrowsers } from "../../scripts/browsers.mjs";

export const browsers: { name: "chromium" | "firefox"; launch: () => Promise<Browser> }[] = [
  { name: "chromium", launch: () => launch(chromium, found("chromium")) },
  { name: "firefox", launch: () => launch(firefox, found("firefox")) },
];

/** As long as a test may take: Playwright's 30 s are for a machine that does nothing else. */
const PATIENCE_MS = 300_000;

/** Starts a browser whose pages wait as long as the tests do. */
export async function launch(type: BrowserType, options: LaunchOptions): Promise<Browser> {
  const browser = await type.launch({ timeout: PATIENCE_MS, ...options });
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(PATIENCE_MS);
    return context;
  };
  return browser;
}

/** Playwright's launch options for a browser; a test cannot do without it. */
export function found(name: "chromium" | "firefox") {
  const browser = findBrowsers()[name];
  if (!browser) throw new Error(`${name} was not found: node scripts/browsers.mjs gets it`);
  return browser.launch;
}
