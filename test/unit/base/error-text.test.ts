/** The text of anything that was thrown. */
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { errorText } from "../../../src/base/error-text.ts";

test("what has a text is quoted", () => {
  for (const thrown of [new Error("no"), "no", { toString: () => "no" }]) expect(errorText(thrown)).toBe("no");
  expect(errorText({ code: 4001, message: "no" })).toBe("no");
  expect(errorText(runInNewContext('new Error("no")'))).toBe("no");
  expect(errorText(undefined)).toBe("undefined");
});

test("attack: what has no text, or throws when asked for it, still gives one", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const getter = Object.defineProperty(new Error(), "message", {
    get() {
      throw new Error("no");
    },
  });
  for (const thrown of [Object.create(null), { toString: 1, valueOf: 1 }, proxy, getter]) {
    expect(errorText(thrown)).toBe("an error without a message");
  }
  expect(errorText(Object.assign(new Error(), { message: 5 }))).toBe("5");
});
