/** What `support()` finds out about a browser. */
import { afterEach, expect, test } from "vitest";
import { support } from "../../../src/index.ts";
import { engine } from "../../setup/engine.ts";
import recorded from "../../setup/support.json";

/** Which of the recorded pages of this engine this one is: plain, or isolated and without JSPI. */
const page = "Suspending" in WebAssembly ? "plain" : "isolated";

const generateKey = SubtleCrypto.prototype.generateKey;

afterEach(() => {
  SubtleCrypto.prototype.generateKey = generateKey;
});

test("support() reports what docs/support.md says about this engine", async () => {
  const before = document.querySelectorAll("iframe").length;
  const found = await support();
  expect(found).toEqual((recorded as Record<string, Record<string, object>>)[page]![engine]);
  expect(document.querySelectorAll("iframe").length).toBe(before);
});

test("support() asks for a key again when WebCrypto fails to make one, as WebKit does now and then", async () => {
  let calls = 0;
  SubtleCrypto.prototype.generateKey = function (this: SubtleCrypto, ...args: unknown[]) {
    if (++calls < 3) return Promise.reject(new DOMException("try again", "OperationError"));
    return Reflect.apply(generateKey, this, args).catch((error: unknown) => {
      calls--; // WebKit itself failed
      throw error;
    });
  } as typeof generateKey;
  expect((await support()).ed25519).toBe(true);
  expect(calls).toBe(3);
});

test.each([
  [1, "NotSupportedError"],
  [5, "OperationError"],
])("support() reports that WebCrypto has no Ed25519 after %i calls that fail with a %s", async (most, name) => {
  let calls = 0;
  SubtleCrypto.prototype.generateKey = () => {
    calls++;
    return Promise.reject(new DOMException("no", name)) as never;
  };
  expect((await support()).ed25519).toBe(false);
  expect(calls).toBe(most);
});
