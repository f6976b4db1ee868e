/** The static server of the tests: what it serves, and that no path leads out of its directories. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isolation, type Server, serve } from "../serve.ts";

let directory: string;
let server: Server;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vak-serve-"));
  await mkdir(join(directory, "site/sub"), { recursive: true });
  await mkdir(join(directory, "more"));
  await writeFile(join(directory, "secret.txt"), "secret");
  await writeFile(join(directory, "site/index.html"), "<p>index");
  await writeFile(join(directory, "site/sub/index.html"), "<p>sub");
  await writeFile(join(directory, "site/a.wasm"), "wasm");
  await writeFile(join(directory, "more/b.js"), "1;");
  server = await serve({
    directories: { "/": join(directory, "site"), "/more/": join(directory, "more") },
    headers: isolation,
    pages: { "/made-up.html": "<p>made up" },
  });
});
afterAll(async () => {
  await server?.close();
  await rm(directory, { recursive: true });
});

test.each([
  ["/", 200, "text/html; charset=utf-8", "<p>index"],
  ["/index.html?x=1", 200, "text/html; charset=utf-8", "<p>index"],
  ["/sub/", 200, "text/html; charset=utf-8", "<p>sub"],
  ["/a.wasm", 200, "application/wasm", "wasm"],
  ["/more/b.js", 200, "text/javascript; charset=utf-8", "1;"],
  ["/made-up.html", 200, "text/html; charset=utf-8", "<p>made up"],
  ["/none", 404, "text/plain", "no /none"],
])("GET %s answers %i", async (path, status, type, body) => {
  const response = await fetch(server.url + path);
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe(type);
  expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
  expect(await response.text()).toBe(body);
  expect(server.requests).toContain(path);
});

test.each(["/../secret.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "/more/..%2fsecret.txt", "/%"])(
  "attack: %s does not lead out of the directory",
  async (path) => {
    // Not by fetch, which normalises the path.
    const status = await new Promise((done, fail) => {
      request(server.url, { path }, (response) => done(response.resume().statusCode))
        .on("error", fail)
        .end();
    });
    expect([400, 404]).toContain(status);
  },
);
