/** The bounds of a mount. */
import { expect, test } from "vitest";
import { Bounds } from "../../../src/files/bounds.ts";

test("n bytes and n names fit, one more is refused, and so is a path that no agent can have", () => {
  const bounds = new Bounds("m", 5, 2);
  bounds.take("a", 5);
  bounds.take("b", 0);
  const refused = expect.objectContaining({ code: "files-unavailable" });
  expect(() => bounds.take("c")).toThrow(refused);
  expect(() => new Bounds("m", 5, 2).take("a", 6)).toThrow(refused);
  const long = "x".repeat(256);
  const deep = Array(64).fill("d").join("/");
  for (const path of ["", "a//b", "..", "a/..", ".", "a\0b", long, "é".repeat(128), deep, "\ud800"]) {
    expect(() => new Bounds("m", 5, 9).take(path), path).toThrow(refused);
  }
  expect(() => new Bounds("", 5, 9).take("dev/x")).toThrow(refused);
  new Bounds("m", 5, 9).take("dev/x");
});
