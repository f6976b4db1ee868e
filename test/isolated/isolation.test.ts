/** What a cross-origin isolated page can do, which the other tests here assume. */
import { expect, test } from "vitest";
import { loadGuest } from "../guests/load.ts";
import { engine } from "../setup/engine.ts";

test(`the page is cross-origin isolated in ${engine}`, () => {
  expect(crossOriginIsolated).toBe(true);
});

test("a data: worker can wait in Atomics.wait on memory that the page shares with it", async () => {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const source = "onmessage = ({ data }) => { postMessage('waiting'); postMessage(Atomics.wait(data, 0, 0)); };";
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(source)}`);
  const heard: unknown[] = [];
  const ended = new Promise<void>((done, fail) => {
    worker.onmessage = ({ data }) => {
      heard.push(data);
      if (data !== "waiting") done();
      // The worker may not be waiting yet: notify until one waiter was woken.
      else while (Atomics.notify(cell, 0) === 0);
    };
    worker.onerror = (event) => fail(new Error(event.message));
  });
  worker.postMessage(cell);
  await ended;
  worker.terminate();
  expect(heard).toEqual(["waiting", "ok"]);
});

test("guests can be loaded and compiled", async () => {
  const hello = await WebAssembly.compile(await loadGuest("hello"));
  expect(WebAssembly.Module.exports(hello).map(({ name }) => name)).toEqual(["memory", "_start"]);
  await expect(loadGuest("no-such-guest")).rejects.toThrow("./out/no-such-guest.wasm was not found");
});
