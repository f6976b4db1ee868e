/** The browsers that Playwright drives, for tests and benchmarks that open pages themselves. */
import { type Browser, type BrowserType, chromium, firefox, type LaunchOptions } from "playwright";
import { findBrowsers } from "../../scripts/browsers.mjs";

export const browsers: { name: "chromium" | "firefox"; launch: () => Promise<Browser> }[] = [
  { name: "chromium", launch: () => launch(chromium, launchOptions("chromium")) },
  { name: "firefox", launch: () => launch(firefox, launchOptions("firefox")) },
];

/** As long as a test may take, because Playwright's 30 s are too short on a busy machine. */
const PATIENCE_MS = 300_000;

/** Starts a browser whose pages have the timeout of the tests. */
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

/** Playwright's launch options for a browser. Throws if the browser is missing. */
export function launchOptions(name: "chromium" | "firefox") {
  const browser = findBrowsers()[name];
  if (!browser) throw new Error(`${name} was not found: node scripts/browsers.mjs installs it`);
  return browser.launch;
}
