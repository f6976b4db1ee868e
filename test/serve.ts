/** A static web server for tests, benchmarks and commands, on a free port of localhost. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { extname, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";

/** The headers that make a page cross-origin isolated, which SharedArrayBuffer needs. */
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export interface ServeOptions {
  /**
   * Directories by URL prefix, such as `{ "/": "dist", "/guests/": "test/guests/out" }`. The longest matching prefix
   * wins.
   */
  directories: Record<string, string>;
  /** Headers for every response, such as {@link isolation} or `Content-Security-Policy`. */
  headers?: Record<string, string>;
  /** The text of pages that are not files, by path, such as `{ "/csp.html": "<script …" }`. */
  pages?: Record<string, string>;
}

export interface Server extends AsyncDisposable {
  /** `http://localhost:PORT`, which is a secure context. */
  readonly url: string;
  /** Path and query of every request so far. */
  readonly requests: string[];
  close(): Promise<void>;
}

const types: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
  ".zip": "application/zip",
};

/** Serves static files on a free port of localhost. */
export async function serve({ directories, headers = {}, pages = {} }: ServeOptions): Promise<Server> {
  const prefixes = Object.keys(directories).sort((a, b) => b.length - a.length);
  const requests: string[] = [];

  async function answer(target: string, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.setHeader("Cache-Control", "no-store");
    const path = decodeURIComponent(new URL(target, "http://localhost").pathname);
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page !== undefined) {
      response.setHeader("Content-Type", types[extname(path)] ?? "text/html; charset=utf-8");
      response.end(page);
      return;
    }
    const file = await find(path);
    if (!file) {
      response.writeHead(404, { "Content-Type": "text/plain" }).end(`no ${path}`);
      return;
    }
    response.setHeader("Content-Type", types[extname(file.path)] ?? "application/octet-stream");
    response.setHeader("Content-Length", file.size);
    await pipeline(createReadStream(file.path), response);
  }

  async function find(path: string): Promise<{ path: string; size: number } | undefined> {
    const prefix = prefixes.find((prefix) => path.startsWith(prefix));
    if (prefix === undefined) return undefined;
    const root = resolve(directories[prefix]!);
    const wanted = resolve(root, `./${path.slice(prefix.length)}`);
    if (wanted !== root && !wanted.startsWith(root + sep)) return undefined;
    for (const candidate of [wanted, resolve(wanted, "index.html")]) {
      const status = await stat(candidate).catch(() => undefined);
      if (status?.isFile()) return { path: candidate, size: status.size };
    }
    return undefined;
  }

  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    answer(request.url ?? "/", response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(400).end(String(error));
    });
  });
  await new Promise<void>((done, fail) => server.once("error", fail).listen(0, "localhost", done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the test server has no port");

  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  return { url: `http://localhost:${address.port}`, requests, close, [Symbol.asyncDispose]: close };
}
