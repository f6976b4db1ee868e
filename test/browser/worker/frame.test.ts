/** Agents whose workers are in a frame. */
import { describe, expect, test } from "vitest";
import type { Channel } from "../../../src/worker/channel.ts";
import { FRAME_HASH, FRAME_SCRIPT, openFrame } from "../../../src/worker/frame.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";
import { attacks } from "../sandbox/hostile.cases.ts";

const frames = () => document.querySelectorAll("iframe").length;
/** Without JSPI, frames are refused: test/isolated/no-frame.test.ts. */
const jspi = "Suspending" in WebAssembly;

test.runIf(jspi)("FRAME_HASH is the hash of the frame's script", async () => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(FRAME_SCRIPT)));
  expect(FRAME_HASH).toBe(`sha256-${btoa(String.fromCharCode(...digest))}`);
});

describe.runIf(jspi)("in a frame", () => {
  test("a program's calls, files and output are the same as elsewhere, and the frame is removed with its agent", async () => {
    const before = frames();
    await using kernel = await testKernel();
    const program = await loadGuest("agent");
    const files = { "in.txt": "three apples" };
    const digests = [];
    for (const isolation of ["frame", "opaque"] as const) {
      const agent = await kernel.spawn({ name: "agent", program, files, seed: 1, isolation });
      const { result, stdout } = await finish(agent.run());
      expect({ stdout, ...result }).toMatchObject({ stdout: expect.stringContaining('{"ok":3}'), status: "exited" });
      expect(await agent.files.text("out/result.txt")).toContain("three apples");
      digests.push(result.digest);
      expect(frames()).toBe(before + (isolation === "frame" ? 1 : 0));
      await agent.close();
    }
    expect(digests[0]).toBe(digests[1]);
    expect(effects).toEqual(["add 1 2", "add 1 2"]);
    expect(frames()).toBe(before);
    expect((await entriesOf(kernel, "agent-spawn")).map(({ isolation }) => isolation)).toEqual(["frame", "opaque"]);
  });

  test("an endless program is stopped by its deadline, and its agent can run it again", async () => {
    await using kernel = await testKernel();
    await using agent = await kernel.spawn({
      name: "spin",
      program: await loadGuest("spin"),
      isolation: "frame",
      limits: { deadlineMs: 200 },
    });
    for (let i = 0; i < 2; i++) {
      const { result } = await finish(agent.run());
      expect(result).toMatchObject({ status: "stopped", limit: "deadline", digest: expect.any(String) });
    }
  });

  test("a kernel with isolation frame starts frames ahead, and removes them when it closes", async () => {
    const before = frames();
    const kernel = await testKernel({ isolation: "frame" });
    const agents = [];
    for (let i = 0; i < 3; i++) {
      agents.push(await kernel.spawn({ name: `framed ${i}`, program: await loadGuest("hello") }));
    }
    for (const agent of agents) expect((await finish(agent.run())).stdout).toBe("hello\n");
    await kernel.close();
    expect(frames()).toBe(before);
  });

  // Only the way in and out differs in a frame, so a sample is enough; `npm run hostile` runs them all here too.
  const some = Object.entries(attacks).flatMap(([group, list]) =>
    list.filter((_, i) => i % 12 === 0).map((attack) => ({ group, ...attack })),
  );
  test.each(some)("attack: $group: $name", async ({ program, limits = {}, safe }) => {
    await using kernel = await testKernel();
    const spawned = kernel.spawn({ name: "hostile", program: program(), limits, isolation: "frame" });
    if (safe instanceof RegExp) {
      await expect(spawned).rejects.toMatchObject({ code: "invalid-module", message: expect.stringMatching(safe) });
      return;
    }
    const { result } = await finish((await spawned).run());
    expect(result).toMatchObject({ ...safe, digest: expect.any(String) });
  });
});

/**
 * A worker that is the attacker's from its first line: it tries every way out, and reports which ones worked. Then it
 * tries a nested worker, whose constructor in Firefox hangs about once in 50 times, and reports again.
 */
function prober(target: string): string {
  const source = `
    const target = ${JSON.stringify(target)};
    const tries = {
      fetch: () => fetch(target, { mode: "no-cors" }),
      XMLHttpRequest: () => new Promise((open, shut) => {
        const request = new XMLHttpRequest();
        request.onload = open; request.onerror = shut;
        request.open("GET", target); request.send();
      }),
      import: () => import(target),
      importScripts: () => importScripts(target),
      WebSocket: () => new Promise((open, shut) => {
        const socket = new WebSocket(target.replace(/^http/, "ws"));
        socket.onopen = open; socket.onerror = socket.onclose = shut;
      }),
      EventSource: () => new Promise((open, shut) => {
        const source = new EventSource(target);
        source.onopen = open; source.onerror = () => shut(source.close());
      }),
      FontFace: () => new FontFace("x", "url(" + target + ")").load(),
      sendBeacon: () => { if (!navigator.sendBeacon(target, "x")) throw 0; },
      eval: () => (0, eval)("1"),
      Function: () => new Function("return 1")(),
      indexedDB: () => new Promise((open, shut) => {
        const request = indexedDB.open("x"); request.onsuccess = open; request.onerror = shut;
      }),
      caches: () => caches.open("x"),
      OPFS: () => navigator.storage.getDirectory(),
      locks: () => navigator.locks.request("x", () => {}),
      parent: () => { if (parent === self) throw 0; parent.document; },
    };
    const nest = () => new Promise((open, shut) => {
      const worker = new Worker(target); worker.onmessage = open; worker.onerror = shut;
    });
    const slow = () => new Promise((_, shut) => setTimeout(shut, 3000));
    const probe = async (post) => {
      const open = [];
      const attempt = async ([name, action]) => {
        try { await Promise.race([action(), slow()]); open.push(name); } catch {}
      };
      await Promise.all(Object.entries(tries).map(attempt));
      post({ open, origin: self.origin });
      await attempt(["Worker", nest]);
      post({ open, origin: self.origin, nested: true });
    };
    onmessage = ({ data, ports }) => probe(ports[0] ? (it) => ports[0].postMessage(it) : postMessage.bind(self));
  `;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** After this long without the second report, a worker in Firefox hangs. A try takes 3 s at most. */
const HUNG_MS = 10_000;

interface Found {
  open: string[];
  origin: string;
  /** Whether it has tried a nested worker. */
  nested?: true;
}

// In WebKitGTK, where nothing runs in frames, the Cache API opens a cache even for an opaque origin.
test.runIf(jspi)(
  "attack: a worker in a frame, hostile from its first line, cannot reach network, storage or page",
  async () => {
    const target = new URL("/", location.href).href;
    const found = (listen: (found: (data: unknown) => void, lost: (why: string) => void) => void) =>
      new Promise<Found>((resolve, reject) => {
        let first: Found | undefined;
        listen(
          (data) => {
            if (first) return resolve(data as Found);
            first = data as Found;
            // A worker that hangs in Firefox's constructor gets nowhere.
            if (engine === "firefox") setTimeout(resolve, HUNG_MS, first);
          },
          (why) => reject(new Error(why)),
        );
      });

    let line: Channel | undefined;
    const bare = new Worker(prober(target));
    const [framed, outside] = await Promise.all([
      found((onData, onLost) => {
        line = openFrame(prober(target), (html) => html);
        line.listen(onData, onLost);
      }),
      found((onData, onLost) => {
        bare.onmessage = ({ data }) => onData(data);
        bare.onerror = (event) => onLost(event.message);
        bare.postMessage("go");
      }),
    ]);
    line?.end();
    bare.terminate();
    expect(framed).toMatchObject({ open: [], origin: "null" });
    if (engine !== "firefox") expect([framed.nested, outside.nested]).toEqual([true, true]);
    // The check would notice: the same worker outside a frame can fetch.
    expect(outside.open).toContain("fetch");
  },
);

test.runIf(jspi)("attack: another window posts the messages of the frame: the page ignores them", async () => {
  const lost: string[] = [];
  const line = openFrame("data:text/javascript,", (html) => html);
  line.listen(
    () => {},
    (why) => lost.push(why),
  );
  const other = document.createElement("iframe");
  other.srcdoc = '<script>parent.postMessage({vak:"lost",why:"forged"},"*");parent.postMessage("done","*")</script>';
  const done = new Promise<void>((resolve) => {
    addEventListener("message", ({ data, source }) => {
      if (data === "done" && source === other.contentWindow) resolve();
    });
  });
  document.body.append(other);
  await done;
  postMessage({ vak: "lost", why: "forged" }, "*");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(lost).toEqual([]);
  other.remove();
  line.end();
});
