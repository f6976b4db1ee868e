/** Kills Chromium with kill -9 while a log is written, again and again (npm run test:kill). */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PageServer, servePage } from "../setup/page-server.ts";
import { LOG_PAGE, openPage, startChromium } from "./harness.ts";

/** The number that `npm run test:kill -- 50` passes. */
const KILLS = Number(process.env.VAK_KILLS);

let page: PageServer;
const profile = mkdtempSync(join(tmpdir(), "vak-kill-"));

beforeAll(async () => {
  page = await servePage(LOG_PAGE);
});
afterAll(async () => {
  await page.close();
  rmSync(profile, { recursive: true, force: true });
});

/** LevelDB's own logs of the site's databases. */
function levelDbLogs(): string {
  const folder = join(profile, "Default/IndexedDB");
  const logs = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => /LOG(\.old)?$/.test(path));
  return logs.map((path) => `${path}:\n${readFileSync(join(folder, path), "utf8")}`).join("\n");
}

test(
  `Chromium killed with kill -9 while it appends, ${KILLS} times: nothing that was acknowledged is lost`,
  async () => {
    /** What was acknowledged to the page as being on disk: messages by seq, and roots by size. */
    const acknowledged = new Map<number, string>();
    const signed = new Map<number, string>();
    let total = 0;
    let last = 0;
    let origin: string | undefined;
    /** The rounds after which the browser had deleted the log's database, and the name of the log since then. */
    const gone: number[] = [];
    let name = "kill";
    for (let round = 0; round <= KILLS; round++) {
      const chromium = await startChromium(profile);
      const tab = await openPage(chromium.browser, page.url);
      const told = new Promise<void>((resolve, reject) => {
        tab
          .exposeFunction("acknowledge", (list: [number, string][]) => {
            for (const [seq, message] of list) acknowledged.set(seq, message);
            total += list.length;
            resolve();
          })
          .catch(reject);
      });
      await tab.exposeFunction("signed", (size: number, root: string) => void signed.set(size, root));

      const lost = await tab.evaluate(async (name) => {
        try {
          const log = await vak.openLog({ name, onBusy: "wait" });
          Object.assign(globalThis, { log });
          return undefined;
        } catch (error) {
          const { code, message } = error as { code: string; message: string };
          if (code !== "log-rollback" || !message.includes("has lost the database")) throw error;
          return message;
        }
      }, name);
      if (lost !== undefined) {
        // The browser may lose the database, but vak must report it. Its content is gone; the test continues with
        // another log.
        gone.push(round);
        console.log(`CHROMIUM LOST THE DATABASE, AND VAK REPORTED IT, after kill ${round}: ${lost}\n${levelDbLogs()}`);
        acknowledged.clear();
        signed.clear();
        [last, origin, name] = [0, undefined, `kill.${gone.length}`];
        await chromium.close();
        continue;
      }
      const found = await tab.evaluate(async () => {
        const { log } = globalThis as unknown as { log: Awaited<ReturnType<typeof vak.openLog>> };
        const messages: [number, string][] = [];
        const roots: [number, string][] = [];
        const tree = new vak.RightEdge();
        for await (const { seq, entry, bytes } of log.entries()) {
          tree.append(vak.leafHash(bytes));
          roots.push([seq + 1, btoa(String.fromCharCode(...tree.root()))]);
          if (entry.type === "policy-refused") messages.push([seq, entry.message]);
        }
        const report = await vak.verify(await vak.openBundle(await log.export()), { keys: [log.vkey] });
        return { messages, roots, problems: report.problems, size: log.size, origin: log.origin };
      });
      expect(found.problems).toEqual([]);
      // Another log in its place would be a loss that went unreported.
      origin ??= found.origin;
      expect(found.origin, `after ${round} kills, with ${acknowledged.size} acknowledged entries`).toBe(origin);
      const messages = new Map(found.messages);
      for (const [seq, message] of acknowledged) expect(messages.get(seq), `entry ${seq}`).toBe(message);
      const roots = new Map(found.roots);
      for (const [size, root] of signed) expect(roots.get(size), `the checkpoint of size ${size}`).toBe(root);
      expect(found.size).toBeGreaterThanOrEqual(last);
      last = found.size;
      if (round === KILLS) {
        await chromium.close();
        break;
      }

      void tab
        .evaluate(async (round) => {
          type Log = Awaited<ReturnType<typeof vak.openLog>>;
          const { log, acknowledge, signed } = globalThis as unknown as {
            log: Log;
            acknowledge: (list: [number, string][]) => void;
            signed: (size: number, root: string) => void;
          };
          for (let burst = 0; ; burst++) {
            const count = 1 + ((burst * 7) % 40);
            const done = Array.from({ length: count }, async (_, i): Promise<[number, string]> => {
              const message = `${round} ${burst} ${i} ${"x".repeat((i * 97) % 700)}`;
              const { seq } = await log.append({ type: "policy-refused", textDigest: "00".repeat(32), message });
              return [seq, message];
            });
            acknowledge(await Promise.all(done));
            if (burst % 5 === 4) {
              const { size, root } = await log.checkpoint();
              signed(size, root);
            }
          }
        }, round)
        .catch(() => {}); // it is killed meanwhile
      await told;
      await sleep(Math.random() * 300);
      await chromium.kill();
    }
    const all = `${acknowledged.size} of ${total} acknowledged entries and ${signed.size} checkpoints are there`;
    const what =
      gone.length === 0 ? "" : `, CHROMIUM LOST THE DATABASE after kill ${gone.join(", ")}, and vak reported it`;
    console.log(`${KILLS} kills: ${all}${what}`);
    expect(total).toBeGreaterThan(KILLS);
  },
  60_000 + KILLS * 15_000,
);
