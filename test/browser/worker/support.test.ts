import { expect, test } from "vitest";
import { support } from "../../../src/index.ts";
import { engine } from "../../setup/engine.ts";
import recorded from "../../setup/support.json";

/** A page is as the recorded one of this engine: plain or isolated, with or without JSPI. */
const page = "Suspending" in WebAssembly ? "plain" : "isolated";

test("support() says what docs/support.md says of this engine", async () => {
  const before = document.querySelectorAll("iframe").length;
  const found = await support();
  expect(found).toEqual((recorded as Record<string, Record<string, object>>)[page]![engine]);
  expect(document.querySelectorAll("iframe").length).toBe(before);
});
