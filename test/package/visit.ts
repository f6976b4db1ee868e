/** Opens a page that does the job of `job.js`, and checks its outcome. */
import type { Browser, Page } from "playwright";
import { expect } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";

/** The outcome of a page's job. */
export type Outcome =
  | { status: string; stdout: string; file: string; effects: string[]; zip: number[]; violations: string[] }
  | { code: string; message: string; violations: string[] };

/** A page whose script puts its job's promise into the global `outcome`. */
export const page = (script: string) => `<!doctype html><title>vak</title>${script}`;

/** The tab of each browser. A new one would take longer to open than most jobs take. */
const tabs = new WeakMap<Browser, Promise<Page>>();

/** Opens a page and waits until its job is done. Each page has an origin of its own, so it finds nothing of others. */
export async function visit(browser: Browser, url: string): Promise<{ outcome: Outcome; errors: string[] }> {
  const opening = tabs.get(browser) ?? browser.newContext().then((context) => context.newPage());
  tabs.set(browser, opening);
  const errors: string[] = [];
  const note = (error: Error) => {
    // Firefox reports here what the page's policy blocks, even the browser's own request for an icon.
    if (!String(error).includes("/favicon.ico")) errors.push(String(error));
  };
  try {
    const tab = await opening;
    tab.on("pageerror", note);
    await tab.goto(url);
    // Vite's development server may reload the page, so wait in whichever page is there now.
    const settled = await tab.waitForFunction(() => (globalThis as { outcome?: Promise<Outcome> }).outcome);
    const outcome = (await settled.jsonValue()) as Outcome;
    // What still runs there must not disturb the next page.
    await tab.goto("about:blank");
    tab.off("pageerror", note);
    return { outcome, errors };
  } catch (error) {
    // The next page gets a new tab. That this one may not even close must not hide what went wrong in it.
    tabs.delete(browser);
    await opening.then((tab) => tab.context().close()).catch(() => {});
    throw error;
  }
}

/** Checks that the job was done: the allowed tool ran, the denied one did not, and the log verifies. */
export async function expectDone({ outcome, errors }: Awaited<ReturnType<typeof visit>>): Promise<void> {
  expect(errors).toEqual([]);
  expect(outcome).toMatchObject({
    status: "exited",
    stdout: 'read 10 bytes\nadd: {"ok":3}\nwipe: denied\ndone\n',
    file: 'some input\nadd: {"ok":3}\nwipe: denied\n',
    effects: ["add 1 2"],
    violations: [],
  });
  if (!("zip" in outcome)) throw new Error(outcome.message);
  const report = await verify(await openBundle(new Uint8Array(outcome.zip)));
  expect(report.problems).toEqual([]);
  expect(report.runs).toHaveLength(1);
}
