/** The fetch tool's options, and which requests it allows. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBinary, toBinary } from "../../../src/base/binary.ts";
import { normalUrl } from "../../../src/base/url.ts";
import { type FetchToolOptions, fetchTool } from "../../../src/fetch/index.ts";
import { scrubber } from "../../../src/fetch/scrub.ts";
import { asTool, type Tool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";

const API = "https://api.example.com";
const tool = (options: Partial<FetchToolOptions>): Tool =>
  asTool(fetchTool({ allow: [{ origin: API }], ...options }) as Tool);
const takes = async (made: Tool, url: string, method = "GET") => (await parseInput(made, { url, method })).ok;

describe("an option that is not valid is refused, with what to write instead", () => {
  test.each<[string, object, RegExp]>([
    ["an empty allow", { allow: [] }, /allow must list what may be requested/],
    ["an origin with a path", { allow: [{ origin: `${API}/v1` }] }, /is not an origin; write it as/],
    ["an origin with a slash", { allow: [{ origin: `${API}/` }] }, /is not an origin; write it as https:\/\/api/],
    ["an origin in upper case", { allow: [{ origin: API.toUpperCase() }] }, /write it as https:\/\/api\.example\.com/],
    ["an origin with the default port", { allow: [{ origin: `${API}:443` }] }, /is not an origin/],
    ["an origin with a user", { allow: [{ origin: "https://a@api.example.com" }] }, /is not an origin/],
    ["another scheme", { allow: [{ origin: "ftp://api.example.com" }] }, /is not an origin/],
    ["no origin", { allow: [{}] }, /is not an origin/],
    ["a star within a name", { allow: [{ origin: "https://a*.example.com" }] }, /is not an origin/],
    ["a star with http", { allow: [{ origin: "http://*.example.com" }] }, /is not an origin/],
    ["a star before a top-level domain", { allow: [{ origin: "https://*.com" }] }, /is not an origin/],
    ["a star before an address", { allow: [{ origin: "https://*.0.0.1" }] }, /is not an origin/],
    ["a star with a port", { allow: [{ origin: "https://*.example.com:8443" }] }, /is not an origin/],
    ["a path without a slash", { allow: [{ origin: API, pathPrefix: "v1" }] }, /is not the beginning of a path/],
    ["a path that goes up", { allow: [{ origin: API, pathPrefix: "/v1/../v2/" }] }, /write it as \/v2\//],
    ["a path with a query", { allow: [{ origin: API, pathPrefix: "/v1?a=" }] }, /is not the beginning of a path/],
    ["a method in lower case", { allow: [{ origin: API, methods: ["get"] }] }, /methods/],
    ["no method", { allow: [{ origin: API, methods: [] }] }, /methods/],
    ["CONNECT", { allow: [{ origin: API, methods: ["CONNECT"] }] }, /methods/],
    ["an unknown field", { allow: [{ origin: API, path: "/v1/" }] }, /unknown field "path"; the fields are origin/],
    ["a header in upper case", { requestHeaders: ["Accept"] }, /lower case/],
    ["a header that only the browser sets", { requestHeaders: ["cookie"] }, /only the browser sets/],
    ["another header that only the browser sets", { requestHeaders: ["sec-fetch-mode"] }, /only the browser sets/],
    [
      "a secret in a header that guests may send",
      { secrets: [{ origin: API, header: "accept", value: "12345678" }] },
      /no guest/,
    ],
    [
      "a secret for more than one origin",
      { secrets: [{ origin: "https://*", header: "x-a", value: "12345678" }] },
      /needs a single origin/,
    ],
    ["a short secret", { secrets: [{ origin: API, header: "x-a", value: "1234567" }] }, /8 to 4096/],
    ["a secret in two lines", { secrets: [{ origin: API, header: "x-a", value: "1234567\n8" }] }, /printable/],
    ["a maxBytes of zero", { maxBytes: 0 }, /maxBytes/],
    ["an infinite maxBytes", { maxBytes: Number.POSITIVE_INFINITY }, /maxBytes/],
    ["a fraction of a millisecond", { timeoutMs: 0.5 }, /timeoutMs/],
  ])("%s", (_, options, message) => {
    const error = (() => {
      try {
        return fetchTool({ allow: [{ origin: API }], ...options } as FetchToolOptions);
      } catch (error) {
        return error;
      }
    })();
    expect(error).toMatchObject({ code: "invalid-argument", message: expect.stringMatching(message) });
  });
});

describe("what is allowed", () => {
  test("is a request with that origin, path and method", async () => {
    const made = tool({
      allow: [
        { origin: API, pathPrefix: "/v1/" },
        { origin: API, pathPrefix: "/v2", methods: ["POST"] },
        { origin: "http://localhost:8080" },
        { origin: "http://[::1]:8080" },
      ],
    });
    for (const [url, method, ok] of [
      [`${API}/v1/`, "GET", true],
      [`${API}/v1/a?b`, "GET", true],
      [`${API}/v1`, "GET", false],
      [`${API}/v1/a`, "POST", false],
      [`${API}/v2`, "POST", true],
      [`${API}/v2?a`, "POST", true],
      [`${API}/v2/a`, "POST", true],
      [`${API}/v2a`, "POST", false],
      [`${API}/v2`, "GET", false],
      [`${API}:8443/v1/`, "GET", false],
      [`http://api.example.com/v1/`, "GET", false],
      [`https://apixexample.com/v1/`, "GET", false],
      ["http://LOCALHOST:8080/x", "GET", true],
      ["http://localhost/x", "GET", false],
      ["http://127.0.0.1:8080/", "GET", false],
      ["http://[0:0::1]:8080/", "GET", true],
    ] as const) {
      expect([url, method, await takes(made, url, method)]).toEqual([url, method, ok]);
    }
  });

  test("by a star is every name below that name, and nothing else", async () => {
    const made = tool({ allow: [{ origin: "https://*.example.com" }] });
    for (const [host, ok] of [
      ["a.example.com", true],
      ["a.b.example.com", true],
      ["xn--bcher-kva.example.com", true],
      ["example.com", false],
      [".example.com", false],
      ["aexample.com", false],
      ["example.com.evil.org", false],
      ["evil.org%2f.example.com", false],
      ["evil.org?.example.com", false],
    ] as const) {
      expect([host, await takes(made, `https://${host}/`)]).toEqual([host, ok]);
    }
  });

  test("attack: no URL is accepted that is not at an allowed origin and below an allowed path", async () => {
    const made = tool({ allow: [{ origin: API, pathPrefix: "/v1/" }, { origin: "https://*.b.example" }] });
    const parts = fc.array(
      fc.oneof(
        fc.constantFrom(
          API,
          "api.example.com",
          "/v1/",
          "https://",
          "x.b.example",
          "@",
          "\\",
          "/",
          "..",
          ".",
          "%2e",
          "%2f",
          ":443",
          "?",
          "#",
          "\t",
          ";",
          "%25",
          "evil.example",
        ),
        fc.string({ unit: "grapheme", maxLength: 3 }),
      ),
      { maxLength: 8 },
    );
    let taken = 0;
    const text = fc
      .tuple(fc.constantFrom("", API, `${API}/v1/`, "https://x.b.example/", "https://"), parts)
      .map(([head, tail]) => head + tail.join(""));
    await fc.assert(
      fc.asyncProperty(text, async (given) => {
        if (!(await takes(made, given))) return;
        taken++;
        const url = new URL(normalUrl(given));
        expect(
          url.origin === API || (url.origin.endsWith(".b.example") && url.protocol === "https:" && url.port === ""),
        ).toBe(true);
        if (url.origin === API) {
          let path = url.pathname;
          for (let i = 0; i < 5; i++)
            path = path.replace(/%(2[5ef]|5c)/gi, (code) => decodeURIComponent(code)).replaceAll("\\", "/");
          expect(new URL(`http://x${path}`).pathname).toMatch(/^\/v1\//);
        }
      }),
      { numRuns: 1500 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  test("is part of the schema, so the log has it", () => {
    expect(JSON.stringify(tool({}).inputSchema)).toContain("api\\\\.example\\\\.com");
  });
});

describe("a secret in an answer is removed", () => {
  const secret = fc
    .string({ unit: fc.constantFrom(...'abcXYZ019+/=%"\\ -_.~'), minLength: 8, maxLength: 40 })
    .filter((text) => text.trim() === text);
  const around = fc.string({ unit: fc.constantFrom(..."nm,:{}\n"), maxLength: 7 });
  const hex = (text: string) => Buffer.from(text).toString("hex");
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const ways: [string, (text: string, before: string, after: string) => [whole: string, trace: string]][] = [
    ["as it is", (text, before, after) => [before + text + after, text]],
    ["percent-encoded", (text, before, after) => [before + encodeURIComponent(text) + after, encodeURIComponent(text)]],
    [
      "in JSON",
      (text, before, after) => [JSON.stringify({ [before]: text + after }), JSON.stringify(text).slice(1, -1)],
    ],
    ["in hexadecimal", (text, before, after) => [hex(before + text + after), hex(text)]],
    [
      "in base64",
      (text, before, after) => [
        base64(before + text + after),
        base64(text.slice(3 - (before.length % 3), -3)).slice(0, -4),
      ],
    ],
  ];
  test.each(ways)("%s, at any position", (_, tell) => {
    fc.assert(
      fc.property(secret, around, around, (text, before, after) => {
        const [whole, trace] = tell(text, before, after);
        const left = scrubber([text])(whole);
        expect(left).toContain("REDACTED");
        if (trace.length >= 6) expect(left.toLowerCase()).not.toContain(trace.toLowerCase());
      }),
    );
  });

  test("the name and the password in Basic are secrets too", () => {
    const scrub = scrubber([`Basic ${base64("ann:correct horse")}`]);
    expect(scrub("you are ann:correct horse, password correct horse")).toBe("you are REDACTED, password REDACTED");
  });

  test("an answer without a secret does not change by a byte", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect([...fromBinary(scrubber(["a secret of sixteen"])(toBinary(bytes)))]).toEqual([...bytes]);
      }),
    );
  });
});
