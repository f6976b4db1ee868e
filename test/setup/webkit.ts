/**
 * A Vitest browser provider for WebKitGTK: starts Xvfb and WebKitWebDriver, and opens Vitest's page in MiniBrowser by
 * the W3C WebDriver protocol. It only opens and closes pages, because vak's tests simulate no user input.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { defineBrowserProvider } from "@vitest/browser";
import type { BrowserProvider, BrowserProviderOption } from "vitest/node";
import type { WebKitGTK } from "../../scripts/browsers.mjs";

export function webkit(paths: WebKitGTK): BrowserProviderOption {
  return defineBrowserProvider({
    name: "webkit",
    supportedBrowser: ["webkit"],
    providerFactory: () => createProvider(paths),
  });
}

function createProvider(paths: WebKitGTK): BrowserProvider {
  let browser: Promise<Browser> | undefined;
  return {
    name: "webkit",
    supportsParallelism: false,
    getCommandsContext: () => ({}),
    async openPage(_sessionId, url) {
      browser ??= startBrowser(paths);
      await (await browser).open(url);
    },
    async close() {
      await (await browser?.catch(() => undefined))?.close();
      browser = undefined;
    },
  };
}

interface Browser {
  open(url: string): Promise<void>;
  close(): Promise<void>;
}

async function startBrowser({ driver, miniBrowser, xvfb }: WebKitGTK): Promise<Browser> {
  const children: ChildProcess[] = [];
  // Each child leads a process group, and the group is killed: a page in an endless wasm loop outlives its browser.
  const start = (command: string, args: string[], env: NodeJS.ProcessEnv, stdio: "ignore" | "pipe") => {
    const child = spawn(command, args, { detached: true, env, stdio: ["ignore", "ignore", "ignore", stdio] });
    children.push(child);
    return child;
  };
  const kill = () => {
    for (const { pid } of children.splice(0)) {
      try {
        if (pid) process.kill(-pid, "SIGKILL");
      } catch {} // it has already exited
    }
  };
  process.once("exit", kill);

  try {
    // Xvfb chooses a free display and writes its number to file descriptor 3.
    const screen = ["-displayfd", "3", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"];
    const x = start(xvfb, screen, process.env, "pipe");
    const [display] = await once(x.stdio[3] as Readable, "data");

    const port = await freePort();
    start(
      driver,
      [`--port=${port}`, "--host=127.0.0.1"],
      {
        ...process.env,
        DISPLAY: `:${String(display).trim()}`,
        GDK_BACKEND: "x11",
        JSC_useSharedArrayBuffer: "1",
        LIBGL_ALWAYS_SOFTWARE: "1",
        WEBKIT_DISABLE_COMPOSITING_MODE: "1",
      },
      "ignore",
    );
    const command = webDriver(`http://127.0.0.1:${port}`);
    await untilReady(command);
    const capabilities = {
      browserName: "MiniBrowser",
      "webkitgtk:browserOptions": { binary: miniBrowser, args: ["--automation"] },
    };
    const { sessionId } = await command<{ sessionId: string }>("POST", "/session", {
      capabilities: { alwaysMatch: capabilities },
    });
    return {
      open: (url) => command("POST", `/session/${sessionId}/url`, { url }),
      async close() {
        await Promise.race([command("DELETE", `/session/${sessionId}`).catch(() => {}), sleep(2000)]);
        kill();
        process.off("exit", kill);
      },
    };
  } catch (cause) {
    kill();
    throw new Error("WebKitGTK did not start", { cause });
  }
}

type Command = <T>(method: "GET" | "POST" | "DELETE", path: string, body?: object) => Promise<T>;

function webDriver(server: string): Command {
  return async (method, path, body) => {
    const response = await fetch(server + path, { method, ...(body && { body: JSON.stringify(body) }) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`WebDriver ${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  };
}

async function untilReady(command: Command): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await command("GET", "/status");
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(100);
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("the system gave no free port");
  return address.port;
}
