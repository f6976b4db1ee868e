/** What the tests assume of their guests and of the browser. */
import { expect, test } from "vitest";
import { loadGuest, loadPython } from "../guests/load.ts";
import { engine } from "../setup/engine.ts";

test(`${engine} runs these tests on a page without special headers, or has no JSPI`, () => {
  expect(crossOriginIsolated).toBe(engine === "webkit");
  expect("Suspending" in WebAssembly).toBe(engine !== "webkit");
});

test("the guests use the features they claim: exceptions old and new, table.grow", async () => {
  for (const name of ["exit-catch", "exit-catch-table", "table", "agent"]) {
    expect(await WebAssembly.compile(await loadGuest(name))).toBeInstanceOf(WebAssembly.Module);
  }
});

test("CPython compiles", async () => {
  const module = await WebAssembly.compile(await loadPython());
  expect(WebAssembly.Module.exports(module).map(({ name }) => name)).toContain("_start");
});
