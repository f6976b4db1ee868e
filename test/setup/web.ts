/** The web that a guest meets: two servers, each an origin of its own, that misbehave on request. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

export interface Web extends AsyncDisposable {
  /** As `http://localhost:PORT`. */
  readonly good: string;
  readonly evil: string;
}

/** A request as the server received it. */
export interface Seen {
  method: string;
  /** Path and query. */
  target: string;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

export async function startWeb(): Promise<Web> {
  const servers = [site(), site()];
  const [good, evil] = await Promise.all(
    servers.map(async (server) => {
      await new Promise<void>((done, fail) => server.once("error", fail).listen(0, "localhost", done));
      return `http://localhost:${(server.address() as AddressInfo).port}`;
    }),
  );
  return {
    good: good!,
    evil: evil!,
    async [Symbol.asyncDispose]() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

function site() {
  const seen: Seen[] = [];
  return createServer((request, response) => {
    answer(request, response, seen).catch(() => response.destroy());
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, seen: Seen[]): Promise<void> {
  const { method = "", url = "", headers } = request;
  response.setHeader("Access-Control-Allow-Origin", "*");
  response.setHeader("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
  response.setHeader("Access-Control-Allow-Headers", headers["access-control-request-headers"] ?? "*");
  response.setHeader("Access-Control-Expose-Headers", "X-Echo, X-Other, Location");
  response.setHeader("Timing-Allow-Origin", "*");
  if (method === "OPTIONS") return void response.writeHead(204).end();
  const path = url.replace(/\?.*/s, "");
  const query = new URLSearchParams(url.slice(path.length + 1));
  if (path === "/seen") return void response.end(JSON.stringify(seen));
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const got = { method, target: url, headers, body: Buffer.concat(parts).toString("latin1") };
  seen.push(got);
  const secret = String(headers.authorization ?? "");
  switch (path) {
    case "/redirect":
      return void response
        .writeHead(Number(query.get("status") ?? 302), { Location: query.get("to") ?? "/" })
        .end("moved");
    case "/endless":
      return endless(response, Buffer.alloc(65_536, 0x61), 0);
    case "/drip":
      return endless(response, Buffer.from("a"), 20);
    case "/bomb":
      response.setHeader("Content-Encoding", "gzip");
      return void response.end(gzipSync(Buffer.alloc(32 * 2 ** 20)));
    case "/silent":
      return; // the request is never answered
    case "/bytes":
      return void response.end(Buffer.alloc(Number(query.get("n")), 0x61));
    case "/binary":
      return void response.end(Buffer.from([0, 255, 128, 10]));
    case "/headers":
      response.setHeader("Set-Cookie", "a=b");
      response.setHeader("X-Echo", `you sent ${secret}`);
      response.setHeader("X-Other", "other");
      response.setHeader("Content-Type", "text/plain; charset=utf-8");
      return void response.end("headers");
    case "/secrets": {
      const word = secret.split(" ").pop() ?? "";
      const base64 = (offset: number) => Buffer.from(`${"ab".slice(0, offset)}${word}!`).toString("base64");
      const hex = Buffer.from(word).toString("hex");
      const encodings = [
        secret,
        word,
        encodeURIComponent(secret),
        base64(0),
        base64(1),
        base64(2),
        hex,
        hex.toUpperCase(),
        word.toUpperCase(),
      ];
      return void response.end(
        `${JSON.stringify(encodings)}\n${query.has("binary") ? "\x00" : ""}`,
        query.has("binary") ? "latin1" : "utf8",
      );
    }
    default:
      response.setHeader("Content-Type", "application/json");
      return void response.end(JSON.stringify({ method, target: url, headers, body: got.body }));
  }
}

/** Writes until the client closes the connection. */
async function endless(response: ServerResponse, part: Buffer, ms: number): Promise<void> {
  let open = true;
  response.once("close", () => {
    open = false;
  });
  while (open) {
    const more = response.write(part);
    if (!more) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
