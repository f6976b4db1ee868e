/** Text that is cut short wherever it ends, and the messages of engines and workers that are cut with it. */
import { expect, test } from "vitest";
import { clip } from "../../../src/base/clip.ts";
import { parseReply } from "../../../src/protocol/parse.ts";
import { trapOf } from "../../../src/sandbox/traps.ts";

const FACES = "\u{1f600}".repeat(3000);

test.each<[what: string, cut: (text: string) => string, length: number]>([
  ["clip", (text) => clip(text, 10), 10],
  ["the message of a trap", (text) => trapOf(new Error(text)).message, 1000],
  [
    "what a worker throws",
    (text) => {
      const thrown = { isError: true, value: { message: text } };
      const reply = parseReply({ id: "1", type: "HANDLER", name: "throw", value: thrown })!;
      return "error" in reply ? reply.error : "";
    },
    4096,
  ],
])("%s is well-formed, wherever it is cut", (_, cut, length) => {
  expect(cut(FACES)).toBe(FACES.slice(0, length));
  expect(cut(`x${FACES}`)).toBe(`x${FACES.slice(0, length - 2)}\ufffd`);
  expect(cut("short")).toBe("short");
});
