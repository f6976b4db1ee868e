/** Logs in real browser profiles: verified by other tools, shared by tabs, and short of storage. */
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";
import { browsers } from "../setup/launch.ts";
import { type PageServer, servePage } from "../setup/page-server.ts";
import { LOG_PAGE, openPage, startChromium } from "./harness.ts";
import { goVerify, have, opensslVerify, sigstoreVerify, writeFolder } from "./verifiers.ts";
import { startWitness } from "./witness.ts";

let page: PageServer;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  page = await servePage(LOG_PAGE);
});
afterAll(() => page.close());
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function newProfile(): string {
  const profile = mkdtempSync(join(tmpdir(), "vak-profile-"));
  cleanups.push(() => rmSync(profile, { recursive: true, force: true }));
  return profile;
}

async function chromium(profile: string) {
  const started = await startChromium(profile);
  cleanups.push(() => started.kill().catch(() => {}));
  return started;
}

async function filesOf(base64: string): Promise<Map<string, Uint8Array>> {
  const bundle = await openBundle(new Uint8Array(Buffer.from(base64, "base64")));
  const files = new Map<string, Uint8Array>();
  for (const path of await bundle.paths()) files.set(path, (await bundle.read(path, 2 ** 30))!);
  return files;
}

/** Defines what the functions that run in the page use. */
async function prepare(tab: Page): Promise<void> {
  await tab.evaluate(() => {
    Object.assign(globalThis, {
      NOTE: { type: "policy-refused", textDigest: "00".repeat(32), message: "é" },
      base64: async (blob: Blob) => {
        let text = "";
        for (const byte of new Uint8Array(await blob.arrayBuffer())) text += String.fromCharCode(byte);
        return btoa(text);
      },
    });
  });
}

declare const NOTE: { type: "policy-refused"; textDigest: string; message: string };
declare const base64: (blob: Blob) => Promise<string>;

describe.each(browsers)("$name writes logs that others verify unchanged", ({ launch }) => {
  let browser: Browser;
  /** Where each test opens a log of its own. */
  let tab: Page;
  beforeAll(async () => {
    browser = await launch();
    tab = await openPage(browser, page.url);
    await prepare(tab);
  });
  afterAll(() => browser?.close());

  test.each([1, 2, 255, 256, 257, 700])("of %i entries", async (size) => {
    const { zip, vkey, receipts } = await tab.evaluate(async (size) => {
      const log = await vak.openLog({ name: `size-${size}-${Math.random().toString(36).slice(2)}` });
      while (log.size < size) {
        const count = Math.min(50, size - log.size);
        await Promise.all(Array.from({ length: count }, () => log.append(NOTE)));
      }
      const zip = await base64(await log.export());
      const receipts = [await log.prove(0), await log.prove(size >> 1), await log.prove(size - 1)];
      return { zip, vkey: log.vkey, receipts };
    }, size);
    const files = await filesOf(zip);
    expect(await verify(files, { keys: [vkey] })).toMatchObject({ ok: true, problems: [], size });
    for (const receipt of receipts) await sigstoreVerify(receipt, vkey);
    const checkpoint = new TextDecoder().decode(files.get("checkpoint")!);
    if (have.openssl) expect(opensslVerify(checkpoint, vkey)).toBe(true);
    if (have.go) expect(await goVerify(writeFolder(files), vkey)).toEqual(["ok"]);
  });

  test("after a key rotation", async () => {
    const { zip, keys } = await tab.evaluate(async () => {
      const log = await vak.openLog({ name: "rotated" });
      const keys = [log.vkey];
      await log.append(NOTE);
      await log.rotate();
      keys.push(log.vkey);
      await log.append(NOTE);
      return { zip: await base64(await log.export()), keys };
    });
    const files = await filesOf(zip);
    expect(await verify(files, { keys: [keys[0]!] })).toMatchObject({ ok: true, problems: [] });
    if (!have.go) return;
    expect(await goVerify(writeFolder(files), keys[1]!)).toEqual(["ok"]);
    expect((await goVerify(writeFolder(files), keys[0]!))[0]).toContain("refused");
  });

  test("with the cosignatures of a witness, which reveals a log that was rolled back", async () => {
    const witness = await startWitness();
    cleanups.push(() => witness.close());
    const options = { url: witness.url, vkey: witness.vkey };
    const vkey = await tab.evaluate(async (options) => {
      const log = await vak.openLog({ name: "witnessed", anchor: vak.witness(options) });
      Object.assign(globalThis, { log });
      await log.append(NOTE);
      await log.checkpoint();
      return log.vkey;
    }, options);
    // The witness does not know the log yet.
    await expect.poll(() => witness.statuses).toEqual([404]);
    witness.know(vkey);
    const { zip, error } = await tab.evaluate(async () => {
      const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
      // The witness counts its answer before the page has read it.
      let { anchorError } = await log.status();
      while (!anchorError) {
        await new Promise((done) => setTimeout(done, 10));
        ({ anchorError } = await log.status());
      }
      await log.append(NOTE);
      await log.checkpoint();
      while (!(await log.status()).anchored) await new Promise((done) => setTimeout(done, 10));
      while (!(await log.checkpoint()).note.includes("witness.example"))
        await new Promise((done) => setTimeout(done, 10));
      return { zip: await base64(await log.export()), error: anchorError };
    });
    expect(error).toContain("404");
    const files = await filesOf(zip);
    const report = await verify(files, { keys: [vkey], witnesses: [witness.vkey] });
    expect(report).toMatchObject({ ok: true, problems: [], notChecked: [], size: 3 });
    if (have.go) expect(await goVerify(writeFolder(files), vkey)).toEqual(["ok"]);

    // The witness has seen more of that log, as if this browser's profile had been copied elsewhere and back.
    await tab.evaluate(async () => {
      const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
      await log.close();
    });
    witness.answer(409, "500\n");
    const refused = await tab.evaluate(async (options) => {
      const opening = vak.openLog({ name: "witnessed", anchor: vak.witness(options) });
      return opening.then(
        () => "opened",
        (error: { code: string }) => error.code,
      );
    }, options);
    expect(refused).toBe("log-rollback");
  });

  test("and loses nothing if a part of its code cannot be loaded", async () => {
    let blocked = /\/(?:rotate|exporting)\b/;
    await tab.route(
      ({ pathname }) => blocked.test(pathname),
      (route) => route.abort(),
    );
    await tab.reload(); // the tests before this one have loaded those parts
    const left = await tab.evaluate(async () => {
      const codeOf = (work: Promise<unknown>) => work.catch((error: { code: string }) => error.code);
      const log = await vak.openLog({ name: "parts" });
      const note = { type: "policy-refused", textDigest: "00".repeat(32), message: "" } as const;
      await log.append(note);
      const codes = [await codeOf(log.rotate()), await codeOf(log.export()), await codeOf(log.prove(0))];
      await log.append(note);
      const { root, size } = await log.checkpoint();
      return { codes, root, size, vkey: log.vkey };
    });
    expect(left).toMatchObject({ codes: ["log-unavailable", "log-unavailable", "log-unavailable"], size: 3 });
    // Without the code that checks the log, it does not open.
    blocked = /\/resume\b/;
    const open = () =>
      vak.openLog({ name: "parts", onBusy: "wait" }).then(
        async (log) => ({ ...(await log.checkpoint()), vkey: log.vkey }),
        (error: { code: string; message: string }) => ({ code: error.code, message: error.message }),
      );
    await tab.reload();
    expect(await tab.evaluate(open)).toEqual({
      code: "log-unavailable",
      message:
        "A part of vak could not be loaded: the page is offline, or a new version has replaced it. Reload the page.",
    });
    await tab.unrouteAll();
    await tab.reload();
    await tab.waitForFunction(() => globalThis.vak !== undefined);
    expect(await tab.evaluate(open)).toMatchObject({ root: left.root, size: left.size, vkey: left.vkey });
  });

  test("in two tabs: the reader takes over once the writer is gone, and nothing is lost", async () => {
    const context = await browser.newContext();
    const tabs: Page[] = [];
    for (let i = 0; i < 2; i++) {
      const tab = await context.newPage();
      await tab.goto(page.url);
      await tab.waitForFunction(() => globalThis.vak !== undefined);
      await prepare(tab);
      await tab.evaluate(async () => {
        const log = await vak.openLog({ name: "two-tabs", onBusy: "read" });
        Object.assign(globalThis, { log, done: 0 });
      });
      tabs.push(tab);
    }
    const [first, second] = tabs as [Page, Page];
    const state = (tab: Page) =>
      tab.evaluate(async () => {
        const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
        return { writing: log.writing, size: log.size };
      });
    expect([(await state(first)).writing, (await state(second)).writing]).toEqual([true, false]);
    const append = (count: number) => {
      const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
      const work = async () => {
        await log.writable;
        for (let i = 0; i < count; i += 10) {
          await Promise.all(Array.from({ length: 10 }, () => log.append(NOTE)));
          (globalThis as unknown as { done: number }).done += 10;
        }
      };
      void work();
    };
    // The second waits to append 1000; the first is closed before it has appended all of its own.
    await second.evaluate(append, 1000);
    await first.evaluate(append, 100_000);
    await first.waitForFunction(() => (globalThis as unknown as { done: number }).done >= 1000);
    const acknowledged = await first.evaluate(() => (globalThis as unknown as { done: number }).done);
    expect((await state(second)).writing).toBe(false);
    await first.close();
    await second.waitForFunction(() => (globalThis as unknown as { done: number }).done >= 1000, undefined, {
      timeout: 60_000,
    });
    const { zip, vkey } = await second.evaluate(async () => {
      const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
      return { zip: await base64(await log.export()), vkey: log.vkey };
    });
    const files = await filesOf(zip);
    const report = await verify(files, { keys: [vkey] });
    expect(report).toMatchObject({ ok: true, problems: [] });
    expect(report.size).toBeGreaterThanOrEqual(1 + acknowledged + 1000);
    if (have.go) expect(await goVerify(writeFolder(files), vkey)).toEqual(["ok"]);
    await context.close();
  });
});

describe("when Chromium's storage fails", () => {
  async function writing({ quotaSize, ...options }: { name: string; quotaSize?: number }) {
    const { browser } = await chromium(newProfile());
    const tab = await openPage(browser, page.url);
    await prepare(tab);
    const session = await tab.context().newCDPSession(tab);
    // Before the first write, since Chromium caches for a while how much space there is.
    if (quotaSize) await session.send("Storage.overrideQuotaForOrigin", { origin: page.origin, quotaSize });
    await tab.evaluate(async ({ name }) => {
      const log = await vak.openLog({ name });
      Object.assign(globalThis, { log, acknowledged: log.size, failure: undefined });
      void log.failed.then((error) => Object.assign(globalThis, { failure: error.code, why: error.message }));
      await log.append(NOTE);
    }, options);
    return { tab, session };
  }

  /** Appends until the log fails; returns the size that was acknowledged. */
  const appendUntilItFails = () =>
    (async () => {
      const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
      let size = log.size;
      try {
        for (;;) {
          // Random, since the database compresses.
          const random = () =>
            String.fromCharCode(...crypto.getRandomValues(new Uint8Array(60_000)).map((b) => 32 + (b % 90)));
          const big = { ...NOTE, message: random() };
          const done = await Promise.all(Array.from({ length: 8 }, () => log.append(big)));
          size = done.at(-1)!.seq + 1;
        }
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        return { size, code, message, failed: (await log.failed).code };
      }
    })();

  test("because the quota is exceeded, the log ends with that reason, and is whole once there is space again", async () => {
    const { tab, session } = await writing({ name: "quota", quotaSize: 4_000_000 });
    const { size, code, message, failed } = await tab.evaluate(appendUntilItFails);
    expect([code, failed]).toEqual(["log-unavailable", "log-unavailable"]);
    expect(message).toContain("storage or the disk is full");
    await session.send("Storage.overrideQuotaForOrigin", { origin: page.origin });
    const again = await tab.evaluate(async () => {
      const log = await vak.openLog({ name: "quota" });
      await log.append(NOTE);
      const report = await vak.verify(await vak.openBundle(await log.export()), { keys: [log.vkey] });
      return { ok: report.ok, problems: report.problems, size: log.size };
    });
    expect(again).toMatchObject({ ok: true, problems: [] });
    expect(again.size).toBeGreaterThanOrEqual(size + 1);
  });

  test("because the site's data is cleared, the log ends", async () => {
    const { tab, session } = await writing({ name: "cleared" });
    await session.send("Storage.clearDataForOrigin", { origin: page.origin, storageTypes: "all" });
    const { code, failed } = await tab.evaluate(appendUntilItFails);
    expect([code, failed]).toEqual(["log-unavailable", "log-unavailable"]);
    // Nothing is left that remembers it.
    expect(await tab.evaluate(async () => (await vak.openLog({ name: "cleared" })).size)).toBe(1);
  });

  test("because the database is gone after a crash, the log is refused, and no new one starts in its place", async () => {
    const profile = newProfile();
    const first = await chromium(profile);
    const tab = await openPage(first.browser, page.url);
    const origin = await tab.evaluate(async () => (await vak.openLog({ name: "gone" })).origin);
    await first.kill();
    rmSync(join(profile, "Default/IndexedDB"), { recursive: true });
    const second = await chromium(profile);
    const refusal = await (await openPage(second.browser, page.url)).evaluate(() =>
      vak.openLog({ name: "gone" }).then(
        () => ({ code: "opened", message: "" }),
        ({ code, message }: { code: string; message: string }) => ({ code, message }),
      ),
    );
    expect(refusal.code).toBe("log-rollback");
    expect(refusal.message).toContain(origin);
  });

  test("because a crash tore a write, Chromium resumes, and nothing written later is lost", async () => {
    const profile = newProfile();
    const session = async () => {
      const { browser, kill } = await chromium(profile);
      const sizes = await (await openPage(browser, page.url)).evaluate(async () => {
        const log = await vak.openLog({ name: "torn" });
        const found = log.size;
        const note = { type: "policy-refused", textDigest: "00".repeat(32), message: "x".repeat(20_000) } as const;
        for (let i = 0; i < 5; i++) await log.append(note);
        return { found, left: log.size };
      });
      await kill();
      return sizes;
    };
    expect(await session()).toEqual({ found: 1, left: 6 });
    // As if it had been killed while it wrote the last entry. (That one was acknowledged, but not signed yet.)
    const folder = join(profile, "Default/IndexedDB");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".log"));
    expect(files.length).toBe(1);
    const file = join(folder, files[0]!);
    truncateSync(file, statSync(file).size - 5_000);
    expect(await session()).toEqual({ found: 5, left: 10 });
    expect(await session()).toEqual({ found: 10, left: 15 });
  });

  test("because an old copy of the profile was put back, an anchor reveals it", async () => {
    const kept = new Map<string, string>();
    const profile = newProfile();
    const copy = newProfile();
    const session = async (work: (tab: Page) => Promise<unknown>) => {
      const started = await chromium(profile);
      const tab = await openPage(started.browser, page.url);
      await prepare(tab);
      await tab.exposeFunction("newest", (origin: string) => kept.get(origin));
      await tab.exposeFunction("put", (origin: string, note: string) => void kept.set(origin, note));
      const result = await work(tab);
      await started.close();
      return result;
    };
    const extend = (tab: Page) =>
      tab.evaluate(async () => {
        const { newest, put } = globalThis as unknown as {
          newest: (origin: string) => Promise<string | undefined>;
          put: (origin: string, note: string) => Promise<undefined>;
        };
        const anchor = { newest, put: ({ origin, note }: { origin: string; note: string }) => put(origin, note) };
        try {
          const log = await vak.openLog({ name: "copied", anchor });
          await log.append(NOTE);
          await log.checkpoint();
          while ((await log.status()).anchored?.size !== log.size) await new Promise((done) => setTimeout(done, 10));
          await log.close();
          return log.size;
        } catch (error) {
          return (error as { code: string }).code;
        }
      });
    expect(await session(extend)).toBe(2);
    cpSync(profile, copy, { recursive: true });
    expect(await session(extend)).toBe(3);
    rmSync(profile, { recursive: true });
    cpSync(copy, profile, { recursive: true });
    expect(await session(extend)).toBe("log-rollback");
  });
});
