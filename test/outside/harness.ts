/** Opens a page with the log in it, and starts browsers that can be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Browser, chromium, type Page } from "playwright";
import { afterAll } from "vitest";
import { launchOptions } from "../setup/launch.ts";

/** The module of a page that has the log as `vak`. */
export const LOG_PAGE = "test/outside/page/main.ts";

export async function openPage(browser: Browser, url: string): Promise<Page> {
  const context = browser.contexts()[0] ?? (await browser.newContext());
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForFunction(() => globalThis.vak !== undefined);
  return page;
}

const running = new Set<ChildProcess>();
// A test that fails does not close its browser.
afterAll(() => {
  for (const child of running) kill(child);
});

function kill(child: ChildProcess): void {
  try {
    if (child.pid) process.kill(-child.pid, "SIGKILL");
  } catch {} // it has already ended
}

/** Starts Chromium with its own profile and process group, so that all of it can be killed at once. */
export async function startChromium(profile: string) {
  const { executablePath, args = [] } = launchOptions("chromium");
  const child = spawn(
    executablePath!,
    [...args, "--headless=new", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
    { detached: true, stdio: ["ignore", "ignore", "pipe"] },
  );
  running.add(child);
  const lines = createInterface({ input: child.stderr! });
  const endpoint = await new Promise<string>((resolve, reject) => {
    lines.on("line", (line) => {
      const match = /DevTools listening on (ws:\S+)/.exec(line);
      if (match) resolve(match[1]!);
    });
    child.once("exit", (code) => reject(new Error(`Chromium ended with ${code} before it was ready`)));
  });
  const gone = once(child, "exit").then(() => running.delete(child));
  const browser = await chromium.connectOverCDP(endpoint);
  return {
    browser,
    /** Kills all of its processes with kill -9. */
    kill: async () => {
      kill(child);
      await gone;
      await browser.close().catch(() => {});
    },
    /** Closes it as a person would. */
    close: async () => {
      const session = await browser.newBrowserCDPSession();
      await session.send("Browser.close").catch(() => {});
      await gone;
    },
  };
}
