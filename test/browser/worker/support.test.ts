import { expect, test } from "vitest";
import { support } from "../../../src/index.ts";
import { engine } from "../../setup/engine.ts";
import recorded from "../../setup/support.json";

/** Which of the recorded pages of this engine this one is: plain, or isolated and without JSPI. */
const page = "Suspending" in WebAssembly ? "plain" : "isolated";

test("support() reports what docs/support.md says about this engine", async () => {
  const before = document.querySelectorAll("iframe").length;
  const found = await support();
  expect(found).toEqual((recorded as Record<string, Record<string, object>>)[page]![engine]);
  expect(document.querySelectorAll("iframe").length).toBe(before);
});
