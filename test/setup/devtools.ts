/**
 * Drives Chromium by its DevTools protocol alone (https://chromedevtools.github.io/devtools-protocol), so that tabs
 * can be hidden: Playwright keeps every page that it drives in the foreground.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { launchOptions } from "./launch.ts";

/** A tab and its page. */
export interface Tab {
  /** Calls a function in the page, with an argument that is JSON. Resolves with what the function returns. */
  evaluate<A, T>(work: (arg: A) => T | Promise<T>, arg?: A): Promise<T>;
  /** Brings the tab to the foreground, which hides the one that was there. */
  show(): Promise<void>;
}

interface Reply {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
}

/** Runs `work` with a Chromium that has one window and a fresh profile, then kills the browser. */
export async function withTabs<T>(work: (open: (url: string) => Promise<Tab>) => Promise<T>): Promise<T> {
  const profile = await mkdtemp(join(tmpdir(), "vak-tabs-"));
  const { executablePath, args } = launchOptions("chromium");
  const browser = spawn(
    executablePath!,
    [...(args ?? []), "--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true },
  );
  const ended = once(browser, "exit");
  const gone = ended.then((): never => {
    throw new Error("Chromium has exited");
  });
  gone.catch(() => {}); // reported by every command that waits for an answer
  try {
    const send = connect(browser.stdio[3] as Writable, browser.stdio[4] as Readable, gone);
    const open = async (url: string): Promise<Tab> => {
      const { targetId } = await send("Target.createTarget", { url });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      return {
        async evaluate(work, arg) {
          const expression = `(${work})(${JSON.stringify(arg)})`;
          const how = { expression, awaitPromise: true, returnByValue: true };
          const { result, exceptionDetails } = await send("Runtime.evaluate", how, sessionId as string);
          if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
          return (result as { value: never }).value;
        },
        show: async () => void (await send("Target.activateTarget", { targetId })),
      };
    };
    return await work(open);
  } finally {
    if (browser.exitCode === null && browser.signalCode === null) process.kill(-browser.pid!, "SIGKILL");
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Returns a function that sends a command and resolves with its result. Messages are JSON, each ended by a 0 byte. */
function connect(to: Writable, from: Readable, gone: Promise<never>) {
  to.on("error", () => {}); // the browser has exited, which `gone` reports
  const waiting = new Map<number, (reply: Reply) => void>();
  let heard = "";
  from.setEncoding("utf8").on("data", (text: string) => {
    const messages = (heard + text).split("\0");
    heard = messages.pop()!;
    for (const message of messages) {
      const reply: Reply = JSON.parse(message);
      if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
    }
  });
  let last = 0;
  return async (method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> => {
    const id = ++last;
    const replied = new Promise<Reply>((resolve) => waiting.set(id, resolve));
    to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { result, error } = await Promise.race([replied, gone]);
    waiting.delete(id);
    if (!result) throw new Error(`${method}: ${error?.message}`);
    return result;
  };
}
