import { type Browser, chromium, firefox } from "playwright";
import { findBrowsers } from "../../scripts/browsers.mjs";

/** The browsers that Playwright drives, for tests and benches that open pages of their own. */
export const browsers: { name: "chromium" | "firefox"; launch: () => Promise<Browser> }[] = [
  { name: "chromium", launch: () => chromium.launch(found("chromium")) },
  { name: "firefox", launch: () => firefox.launch(found("firefox")) },
];

/** Playwright's launch options for a browser; a test cannot go on without it. */
export function found(name: "chromium" | "firefox") {
  const browser = findBrowsers()[name];
  if (!browser) throw new Error(`${name} was not found: node scripts/browsers.mjs gets it`);
  return browser.launch;
}
