/** The playground does the main job: a program is run, governed, logged, verified and run again. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";
import { redecide } from "../../../src/policy/redecide.ts";
import {
  answer,
  asked,
  calls,
  choose,
  exported,
  open,
  press,
  prints,
  root,
  run,
  scratch,
  shared,
  status,
  terminal,
  vak,
  visit,
  write,
} from "./site.ts";

const browsers = await open();

/**
 * A page on which the job has run once. The first tests look at that run, in the page, in the log and again; so those
 * that write more into the log come after them.
 */
const afterJob = shared(async (browser) => {
  const tab = await visit(browser);
  const { page } = tab;
  // Seen in the page itself, since a look from outside may come when all is over: what it prints is there before it
  // ends.
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
  await run(page);
  return tab;
});

test.each(browsers)("$name: the job runs, streams, is governed and is measured", async ({ browser }) => {
  const { page, complaints } = await afterJob(browser);
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

test.each(browsers)(
  "$name: the log verifies, in the page and exported; one flipped byte is refused",
  async ({ browser }) => {
    const { page, complaints } = await afterJob(browser);

    await press(page, "Verify");
    const sheet = page.getByRole("dialog");
    await sheet.getByText("The log verifies").waitFor();
    expect(await sheet.innerText()).toMatch(/7 allowed, 3 denied/);
    await press(page, "Close");

    await page.getByRole("checkbox", { name: "Flip a byte" }).check({ force: true });
    for (let i = 0; i < 5; i++) {
      await press(page, "Verify");
      await sheet.getByText("The log does not verify").waitFor();
      expect(await sheet.innerText()).toMatch(/Byte \d+ of \S+ changed/);
      await press(page, "Close");
    }
    await page.getByRole("checkbox", { name: "Flip a byte" }).uncheck({ force: true });

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

test.each(browsers)(
  "$name: a simulation shows what another policy would have decided; and Cedar confirms every decision of the log",
  async ({ name, browser }) => {
    const { page, complaints } = await afterJob(browser);

    const sheet = page.getByRole("dialog");
    await press(page, "What if?");
    await sheet.getByText("Nothing would change").waitFor();
    await press(page, "Close");
    const edited = (await readFile(`${root}demo/examples/job.cedar`, "utf8"))
      .replace("context.input.amount <= 50", "context.input.amount <= 18 || context.vak.approved")
      .replace("forbid (", "permit (");
    await write(page, "Policy, in Cedar", edited);
    await press(page, "What if?");
    await sheet.getByText("3 would change", { exact: true }).waitFor();
    const text = (await sheet.innerText()).replace(/\s+/g, " ");
    expect(text).toContain("of 10 decisions in the log, 7 would be the same");
    expect(text).toMatch(
      /refund \{"amount":20,"order":"A-17"\} Entry \d+: allowed; it would be asked about by small-refunds/,
    );
    expect(text).toMatch(
      /refund \{"amount":240,"order":"B-04"\} Entry \d+: denied; it would be asked about by small-refunds/,
    );
    expect(text).toMatch(/delete_account \{"name":"Ada"\} Entry \d+: denied; it would be allowed by accounts-stay/);
    await press(page, "Close");
    await write(page, "Policy, in Cedar", "permit (");
    await press(page, "What if?");
    await page
      .locator("#problem")
      .filter({ hasText: /line 1/ })
      .waitFor();
    await press(page, "Undo edits");
    // Nothing of that is in force, or in the log.
    expect(await page.locator("#shop-till").innerText()).toBe("€ 462");

    const zip = join(scratch, `${name}.zip`);
    await writeFile(zip, await exported(page));
    const { code, out, err } = await vak("policy", "replay", zip);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("The log verifies.");
    expect(out).toContain("Cedar agrees with the log: of 10 decisions, 10 come out the same.");
    expect(complaints).toEqual([]);
  },
);

test.each(browsers)(
  "$name: a run is re-executed with the same result, and its timeline can return to any call",
  async ({ browser }) => {
    const { page, complaints } = await afterJob(browser);
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
    await prints(page, "continuing from call 2");
    await status(page, /^Done: exited 0$/);
    expect(await terminal(page).innerText()).toContain("3 requests tonight");
    expect(complaints).toEqual([]);
  },
);

test.each(browsers)(
  "$name: an endless loop is stopped, a flood stops at its limit, and the next run works",
  async ({ browser }) => {
    const { page, complaints } = await afterJob(browser);
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
    await run(page);
    const output = await terminal(page).innerText();
    expect(output).not.toContain("GOT THROUGH");
    expect(output).toContain("bite 9: A policy forbids this call.");
    expect(await page.locator("#shop-till").innerText()).toBe("€ 460");
    expect(complaints).toEqual([]);
  },
);

test.each(browsers)(
  "$name: a person is asked, what is denied has no effect, and all of it is in the log",
  async ({ browser }) => {
    const { page, complaints } = await visit(browser);
    await choose(page, "Ask me");
    await page.getByRole("button", { name: "Run", exact: true }).focus();
    await page.keyboard.press("Enter");
    await asked(page, "Let python use refund?").waitFor();
    const text = (await asked(page, "Let python use refund?").innerText()).replace(/\s+/g, " ");
    expect(text).toContain('amount 240 order "B-04"');
    expect(text).toContain("More than 50 euros would leave the till.");
    expect(await page.locator("#shop-till").innerText()).toBe("€ 480"); // not yet
    await answer(page, "Allow once");

    await asked(page, "Let python use send_email?").filter({ hasText: "grace@example.com" }).waitFor();
    await answer(page, "Allow for this run");
    // The same tool, another letter: asked anew, and what hides in it is shown.
    await asked(page, "Let python use send_email?").filter({ hasText: "gr\u0430 U+0430ce@example.com" }).waitFor();
    expect(await asked(page, "Let python use send_email?").innerText()).toContain("U+202E");
    await page.keyboard.press("Escape"); // denies; it does not stop the run
    await status(page, /^Done: exited 0$/);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("run");

    expect(await page.locator("#shop-till").innerText()).toBe("€ 222");
    expect(await page.locator("#shop-outbox").innerText()).toBe("1 sent");
    expect(await terminal(page).innerText()).toMatch(/denied: A person was asked about this call and refused it\./);
    await calls(page, "You were asked about refund, for large-refunds-if-you-agree").waitFor();
    await calls(page, "Approved by you, at the playground, for this run").waitFor();
    await calls(page, "Refused by you, at the playground").waitFor();

    const bundle = await openBundle(await exported(page));
    expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
    expect(await redecide(bundle, { wasm: await readFile(cedarWasmUrl) })).toMatchObject({
      differing: [],
      undecided: [],
    });
    expect(complaints).toEqual([]);
  },
);
