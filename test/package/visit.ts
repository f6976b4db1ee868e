import type { Browser } from "playwright";
import { expect } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";

/** What the page's job came to. */
export type Outcome =
  | { status: string; stdout: string; file: string; effects: string[]; zip: number[]; violations: string[] }
  | { code: string; message: string; violations: string[] };

/** A page that puts its job's promise into `outcome`. */
export const page = (script: string) => `<!doctype html><title>vak</title>${script}`;

/** Opens a page, and waits for its job. */
export async function visit(browser: Browser, url: string): Promise<{ outcome: Outcome; errors: string[] }> {
  const context = await browser.newContext();
  try {
    const tab = await context.newPage();
    const errors: string[] = [];
    tab.on("pageerror", (error) => {
      // Firefox reports here what the page's policy blocks: the browser's own wish for an icon, too.
      if (!String(error).includes("/favicon.ico")) errors.push(String(error));
    });
    await tab.goto(url);
    // Vite's development server may load the page twice, so what is waited for is that of whichever page is there.
    const settled = await tab.waitForFunction(() => (globalThis as { outcome?: Promise<Outcome> }).outcome);
    return { outcome: (await settled.jsonValue()) as Outcome, errors };
  } finally {
    await context.close();
  }
}

/** The job is done: the tool that is allowed ran, the other did not, and the log says so. */
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
