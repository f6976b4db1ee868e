/** Tests of how URLs are normalised, for Node and browsers. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { normalUrl, urlParts } from "../../../src/base/url.ts";
import { project, viewTool } from "../../../src/policy/cedar/view.ts";
import { defineTool } from "../../../src/tool/definition.ts";
import { parseInput } from "../../../src/tool/input.ts";
import { withNormalUrls } from "../../../src/tool/url-spelling.ts";

const same: [string, string][] = [
  ["HTTPS://API.Example.COM", "https://api.example.com/"],
  ["https://api.example.com:443/", "https://api.example.com/"],
  ["http://api.example.com:80/", "http://api.example.com/"],
  ["https://api.example.com./a", "https://api.example.com/a"],
  ["https://api.example.com/a/./b/../c", "https://api.example.com/a/c"],
  ["https://api.example.com/a/%2e%2E/c", "https://api.example.com/c"],
  ["https:\\\\api.example.com\\a", "https://api.example.com/a"],
  ["https:api.example.com/a", "https://api.example.com/a"],
  ["  https://api.exa\tmple.com/\na\r ", "https://api.example.com/a"],
  ["https://api.example.com/a#secret", "https://api.example.com/a"],
  ["https://api.example.com/?", "https://api.example.com/"],
  ["https://@api.example.com/", "https://api.example.com/"],
  ["https://%61pi.example.com/", "https://api.example.com/"],
  ["https://ａｐｉ．example．com/", "https://api.example.com/"],
  ["https://bücher.example/ü?ü", "https://xn--bcher-kva.example/%C3%BC?%C3%BC"],
  [
    'https://api.example.com/a b|^{}`"<>[]?a b|^{}`"<>[]',
    "https://api.example.com/a%20b%7C%5E%7B%7D%60%22%3C%3E%5B%5D?a%20b%7C%5E%7B%7D%60%22%3C%3E%5B%5D",
  ],
  ...[
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://①②⑦.0.0.1/",
  ].map((text): [string, string] => [text, "http://127.0.0.1/"]),
  ["http://[0:0:0:0:0:FFFF:127.0.0.1]/", "http://[::ffff:7f00:1]/"],
  ["http://[::1]:8080/", "http://[::1]:8080/"],
];

test.each(same)("%s is %s", (given, normal) => {
  expect(normalUrl(given)).toBe(normal);
  expect(normalUrl(normal)).toBe(normal);
});

test.each<[string, string | RegExp]>([
  ["", "is not a URL"],
  ["/a", "is not a URL"],
  ["//api.example.com/", "is not a URL"],
  ["https://", "is not a URL"],
  ["https://a b/", /is not a URL|has a character in its host/],
  ["https://a*b/", /is not a URL|has a character in its host/],
  ["https://a'b(c)/", /is not a URL|has a character in its host/],
  ["https://api.example.com%2eevil.example%2f/", "is not a URL"],
  ["http://256.256.256.256/", "is not a URL"],
  ["http://[::1%25eth0]/", "is not a URL"],
  ["file:///etc/passwd", "is neither http: nor https:"],
  ["javascript:alert(1)", "is neither http: nor https:"],
  ["data:text/plain,a", "is neither http: nor https:"],
  ["blob:https://api.example.com/1", "is neither http: nor https:"],
  ["wss://api.example.com/", "is neither http: nor https:"],
  ["https://api.example.com@evil.example/", "has a user name or a password in it"],
  ["https://:p@evil.example/", "has a user name or a password in it"],
  ["https://a..example/", "has an empty part in its host"],
  ["https://example.com../", "has an empty part in its host"],
  ["https://api.example.com/v1/..%2fadmin", 'has a path in which a server may find ".."'],
  ["https://api.example.com/v1/%2e%2e%2fadmin", 'has a path in which a server may find ".."'],
  ["https://api.example.com/v1/..%5Cadmin", 'has a path in which a server may find ".."'],
  ["https://api.example.com/v1/%252e%252e/admin", 'has a path in which a server may find ".."'],
  ["https://api.example.com/v1/..%25252fadmin", 'has a path in which a server may find ".."'],
  ["https://api.example.com/v1/..;/admin", 'has a path in which a server may find ".."'],
  [`https://api.example.com/${"%25".repeat(1)}${"25".repeat(9)}2e`, 'has a path in which a server may find ".."'],
  [`https://api.example.com/${"a".repeat(9000)}`, "is longer than 8192 characters"],
  [`https://api.example.com/${"ü".repeat(2000)}`, "is longer than 8192 characters"],
])("%s %s", (text, why) => {
  expect(() => normalUrl(text)).toThrow(why);
});

/** Text that resembles a URL. */
const nearly = fc
  .tuple(
    fc.constantFrom("https://", "HTTP://", "https:", "http:\\\\", " https:/"),
    fc.array(
      fc.oneof(
        fc.webUrl({ withQueryParameters: true, withFragments: true }).map((url) => url.slice(8)),
        fc.constantFrom(
          "@",
          ":",
          "..",
          "/",
          "\\",
          "%2e",
          "%2F",
          "%5c",
          "%25",
          "?",
          "#",
          "[",
          "]",
          "^",
          "|",
          "127.1",
          "0x7f",
          "。",
          "\t",
          ".",
        ),
        fc.string({ unit: "grapheme", maxLength: 6 }),
        fc.domain(),
      ),
      { maxLength: 8 },
    ),
  )
  .map(([scheme, parts]) => scheme + parts.join(""));

const normalOf = (text: string): string | undefined => {
  try {
    return normalUrl(text);
  } catch {
    return undefined;
  }
};

test("normalising is idempotent, and gives the URL that a request has", () => {
  let good = 0;
  fc.assert(
    fc.property(nearly, (text) => {
      const normal = normalOf(text);
      if (normal === undefined) return;
      good++;
      expect(normalUrl(normal)).toBe(normal);
      // What fetch() would request: the URL of a Request, whose fragment is never sent.
      expect(new Request(normal).url).toBe(normal);
      expect(normal).toMatch(/^https?:\/\/[a-z0-9._\-[\]:]+\/[^#\\\s]*$/);
      const { scheme, host, port, path, query } = urlParts(normal);
      const { protocol, hostname } = new URL(normal);
      expect([`${scheme}:`, host]).toEqual([protocol, hostname]);
      expect(port).toBeGreaterThanOrEqual(0);
      expect(new URL(text).pathname.length).toBeLessThanOrEqual(path.length);
      expect(normal.endsWith(query === "" ? path : `${path}?${query}`)).toBe(true);
    }),
    { numRuns: 2000 },
  );
  expect(good).toBeGreaterThan(100);
});

describe("in a tool's input", () => {
  const tool = defineTool({
    name: "open",
    description: "Opens.",
    inputSchema: {
      type: "object",
      properties: {
        url: { type: "string", format: "http-url", pattern: "^https://api\\.example\\.com/" },
        more: { type: "array", items: { $ref: "#/$defs/link" } },
        text: { type: "string" },
      },
      $defs: { link: { type: "object", properties: { to: { type: "string", format: "http-url" } } } },
    },
    execute: () => null,
  });

  test("a URL is normalised before the schema and everyone else sees it, and the rest is unchanged", async () => {
    const input = { url: "HTTPS://API.example.com", more: [{ to: "http://2130706433" }], text: "HTTP://X" };
    const normal = { url: "https://api.example.com/", more: [{ to: "http://127.0.0.1/" }], text: "HTTP://X" };
    const parsed = await parseInput(tool, input);
    expect(parsed).toMatchObject({ ok: true, input: normal, argument: normal });
    if (parsed.ok) expect(Object.isFrozen((parsed.input.more as unknown[])[0])).toBe(true);
  });

  test("a URL that cannot be normalised is refused, with its place in the input", async () => {
    expect(await parseInput(tool, { more: [{ to: "ftp://x" }] })).toEqual({
      ok: false,
      message: "input.more.0.to is neither http: nor https:",
    });
    expect(await parseInput(tool, { url: "https://api.example.com@evil.example/" })).toMatchObject({ ok: false });
    expect(await parseInput(tool, { url: 5 })).toMatchObject({ ok: false });
  });

  test("a policy sees the parts of a normalised URL, and no other spelling", () => {
    const { context } = viewTool(tool);
    const vak = { callDigest: "", now: 0, calls: 0, approved: false, labels: [] };
    expect(project(context, { input: { url: "https://api.example.com/a?b=c" }, vak })).toMatchObject({
      input: {
        url: {
          href: "https://api.example.com/a?b=c",
          scheme: "https",
          host: "api.example.com",
          port: 443,
          path: "/a",
          query: "b=c",
        },
      },
    });
    expect(() => project(context, { input: { url: "https://API.example.com/" }, vak })).toThrow(
      "is not a normalised URL",
    );
  });

  test("input of any shape is unchanged if the schema has no URLs", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(withNormalUrls({ type: "object", properties: { url: { type: "string" } } }, value)).toBe(value);
      }),
    );
  });
});
