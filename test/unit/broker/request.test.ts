/** The first and the last stage of a call, which need nothing else: reading a request, and writing a bounded answer. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, toUtf8 } from "../../../src/base/utf8.ts";
import { encodeAnswer } from "../../../src/broker/answer.ts";
import { parseRequest } from "../../../src/broker/request.ts";

const read = (text: string) => parseRequest(toUtf8(text));
const malformed = (message: string) => ({ refusal: { code: "malformed", message: expect.stringContaining(message) } });

describe("a request", () => {
  test("has a tool and an input; without an input, that is {}", () => {
    expect(read('{"tool":"add","input":[1]}')).toEqual({ tool: "add", input: [1], byteLength: 26 });
    expect(read('{"tool":"add"}')).toMatchObject({ tool: "add", input: {} });
    expect(read('{"tool":"add","input":null}')).toMatchObject({ input: null });
  });

  test("may begin with a byte order mark, which counts as bytes of the request", () => {
    expect(read('\ufeff{"tool":"add"}')).toEqual({ tool: "add", input: {}, byteLength: 17 });
  });

  test.each([
    ["", "JSON"],
    ["{", "JSON"],
    ["[]", "object"],
    ["null", "object"],
    ["{}", '"tool"'],
    ['{"tool":1}', '"tool"'],
    ['{"tool":"\\ud800"}', "well-formed"],
    ['{"tool":"add","input":{},"more":1}', "nothing else"],
    ['{"tool":"add","__proto__":{}}', "nothing else"],
  ])("%s is malformed", (text, message) => {
    expect(read(text)).toEqual(malformed(message));
  });

  test("attack: bytes that are not UTF-8. They are malformed", () => {
    expect(parseRequest(Uint8Array.of(0x22, 0xff, 0x22))).toEqual(malformed("UTF-8"));
  });

  test("attack: any bytes. They are read or refused, and nothing is thrown", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.json().map(toUtf8)), (bytes) => {
        const request = parseRequest(bytes);
        if ("refusal" in request) expect(request.refusal.code).toBe("malformed");
        else expect(typeof request.tool).toBe("string");
      }),
    );
  });
});

describe("an answer", () => {
  test("is never longer than callBytes: first an error takes its place, then nothing", () => {
    const error = '{"error":{"code":"too-large","message":"The answer is longer than the limit callBytes."}}';
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(200), (ok, callBytes) => {
        const { bytes, sent } = encodeAnswer({ ok }, callBytes);
        expect(bytes.byteLength).toBeLessThanOrEqual(callBytes);
        if ("ok" in sent) expect(JSON.parse(fromUtf8(bytes))).toEqual({ ok: JSON.parse(JSON.stringify(ok)) });
        else expect(fromUtf8(bytes)).toBe(error.length <= callBytes ? error : "");
      }),
    );
  });

  test("spells what a tool returned canonically", () => {
    expect(fromUtf8(encodeAnswer({ ok: { b: 1, a: "é" } }, 100).bytes)).toBe('{"ok":{"a":"é","b":1}}');
  });
});
