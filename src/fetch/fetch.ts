import { joinBytes } from "../base/bytes.ts";
import { VakError } from "../errors.ts";
import type { Leaks, Tool } from "../tool/definition.ts";
import type { JsonSchema } from "../tool/schema.ts";
import { type AllowedRequests, schemaOf } from "./allow.ts";
import { findLeaks, kindsIn, type LeakKind } from "./leaks.ts";
import { fromBinary, REDACTED, scrubber, toBinary } from "./scrub.ts";

/** What the host adds to requests and keeps from everyone else: guest, policy, log and people see neither name nor value. */
export interface FetchSecret {
  /** Requests to this origin get it, exactly as in {@link AllowedRequests}, without `*`. */
  readonly origin: string;
  /** The header that carries it. No guest can set it. */
  readonly header: string;
  /** At least 8 printable characters, or what gives them at each request. */
  readonly value: string | (() => string | Promise<string>);
}

export interface FetchToolOptions {
  /** Requests that can be made at all. */
  readonly allow: readonly AllowedRequests[];
  /** The tool's name; `fetch` unless given. */
  readonly name?: string;
  /** Headers that a guest may send; `accept`, `accept-language` and `content-type` unless given. */
  readonly requestHeaders?: readonly string[];
  /** Headers of an answer that a guest may read, where the server lets the page read them; `content-type` unless given. */
  readonly responseHeaders?: readonly string[];
  readonly secrets?: readonly FetchSecret[];
  /** Bytes that the body of an answer may have, 1 to 64 Mi; 512 Ki unless given. `callBytes` bounds the answer as a whole. */
  readonly maxBytes?: number;
  /** ms from the request to the last byte of its answer, 1 to 2^31 - 1; 30,000 unless given. */
  readonly timeoutMs?: number;
}

export interface FetchInput {
  readonly url: string;
  readonly method: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
  readonly encoding?: "utf-8" | "base64";
}

export interface FetchAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
  /** Of `body`: `base64` where it is not UTF-8. */
  readonly encoding: "utf-8" | "base64";
}

/** Names that a browser sets itself, and drops or refuses when they are given (https://fetch.spec.whatwg.org). */
const FORBIDDEN =
  /^(?:accept-(?:charset|encoding)|access-control-.*|connection|content-length|cookie2?|date|dnt|expect|host|keep-alive|origin|referer|set-cookie2?|te|trailer|transfer-encoding|upgrade|via|proxy-.*|sec-.*|x-(?:http-)?method(?:-override)?)$/;
const HEADER_NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;
/** Printable, and as a browser sends it: without blanks at its ends. */
const HEADER_VALUE = "^(?:[!-~](?:[ -~]*[!-~])?)?$";
const MAX_HEADER = 4096;
/** Without a group that repeats, for which engines need stack. */
const BASE64 = "^[A-Za-z0-9+/]*={0,2}$";
const MAX_TIMEOUT = 2 ** 31 - 1;
const MAX_BYTES = 64 * 2 ** 20;

/**
 * A tool that makes HTTP requests, and gives a guest its only way to the network. What can be requested at all is in
 * `allow`; what is requested is for the policy to decide, on the URL in the spelling in which it is fetched, and on
 * what was found in the request that should not leave (`context.vak.leaks`). No cookies and no referrer are sent, redirects
 * are not followed, and size and time are bounded.
 *
 * What goes wrong reaches the guest as a `tool-error` whose message begins with `redirect:`, `size-limit:`, `time-limit:`,
 * `network:` or `secret:`.
 *
 * @throws VakError `invalid-argument` naming the option
 * @example
 * const web = fetchTool({ allow: [{ origin: "https://api.example.com", pathPrefix: "/v1/", methods: ["GET", "POST"] }] });
 */
export function fetchTool(options: FetchToolOptions): Tool<FetchInput> {
  const { allow, name = "fetch", maxBytes = 512 * 1024, timeoutMs = 30_000 } = options;
  const { requestHeaders = ["accept", "accept-language", "content-type"], responseHeaders = ["content-type"] } =
    options;
  if (!Array.isArray(allow) || allow.length === 0) throw invalid("allow lists what can be requested");
  const allowed = allow.map(schemaOf);
  const methods = [...new Set(allowed.flatMap(({ properties }) => properties.method.enum))];
  for (const header of requestHeaders) checkHeader(header);
  for (const header of responseHeaders) checkName(header);
  const secrets = readSecrets(options.secrets ?? [], requestHeaders);
  inRange("maxBytes", maxBytes, MAX_BYTES);
  inRange("timeoutMs", timeoutMs, MAX_TIMEOUT);
  const bounds = { responseHeaders: [...responseHeaders], maxBytes, timeoutMs };
  const said = new WeakMap<AbortSignal, Said>();

  // Not by defineTool: this file is loaded beside any build of vak, and the kernel makes a tool of it.
  return Object.freeze({
    name,
    title: "Fetch",
    description: `Makes an HTTP request. ${allow
      .map(({ origin, pathPrefix = "/", methods = ["GET"] }) => `${methods.join(", ")} ${origin}${pathPrefix}…`)
      .join("; ")
      .slice(0, 4000)}`,
    inputSchema: inputSchema(allowed, methods, requestHeaders),
    outputSchema: OUTPUT,
    annotations: {
      openWorldHint: true,
      readOnlyHint: methods.every((method) => method === "GET" || method === "HEAD"),
    },
    // Whoever wrote it meant it for whoever reads it.
    labels: { returns: ["untrusted"] },
    leaks: (input, { signal }) => leaksOf(input, said.get(signal)),
    execute(input, { signal }) {
      remember(said, signal, input);
      return request(input, secrets, bounds, signal);
    },
  } satisfies Tool<FetchInput>);
}

const OUTPUT = {
  type: "object",
  properties: {
    status: { type: "integer" },
    headers: { type: "object", additionalProperties: { type: "string" } },
    body: { type: "string" },
    encoding: { enum: ["utf-8", "base64"] },
  },
  required: ["status", "headers", "body", "encoding"],
};

function inputSchema(allowed: object[], methods: string[], headers: readonly string[]): JsonSchema {
  const value = { type: "string", maxLength: MAX_HEADER, pattern: HEADER_VALUE };
  return {
    type: "object",
    properties: {
      url: { type: "string", format: "http-url" },
      method: { enum: methods },
      headers: {
        type: "object",
        properties: Object.fromEntries(headers.map((name) => [name, value])),
        additionalProperties: false,
      },
      body: { type: "string" },
      encoding: { enum: ["utf-8", "base64"] },
    },
    required: ["url", "method"],
    additionalProperties: false,
    anyOf: allowed,
    allOf: [
      // biome-ignore lint/suspicious/noThenProperty: it is the keyword
      { if: { properties: { method: { enum: ["GET", "HEAD"] } } }, then: { properties: { body: false } } },
      {
        if: { properties: { encoding: { const: "base64" } }, required: ["encoding"] },
        // biome-ignore lint/suspicious/noThenProperty: it is the keyword
        then: { properties: { body: { pattern: BASE64 } } },
      },
    ],
  };
}

// ── The request ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Bounds {
  responseHeaders: readonly string[];
  maxBytes: number;
  timeoutMs: number;
}

async function request(
  input: FetchInput,
  secrets: readonly FetchSecret[],
  bounds: Bounds,
  ended: AbortSignal,
): Promise<FetchAnswer> {
  const stop = new AbortController();
  const onEnd = () => stop.abort();
  ended.addEventListener("abort", onEnd, { once: true });
  if (ended.aborted) onEnd();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stop.abort();
  }, bounds.timeoutMs);
  try {
    return await exchange(input, secrets, bounds, stop.signal);
  } catch (error) {
    if (late) throw new Error(`time-limit: The answer was not there within ${bounds.timeoutMs} ms.`);
    throw error instanceof Refused ? new Error(error.message) : new Error("network: The request failed.");
  } finally {
    clearTimeout(timer);
    ended.removeEventListener("abort", onEnd);
    stop.abort(); // what is left of an answer that was refused is not waited for
  }
}

/** What went wrong, in words that are for the guest. */
class Refused extends Error {}

async function exchange(
  { url, method, headers = {}, body, encoding }: FetchInput,
  secrets: readonly FetchSecret[],
  { responseHeaders, maxBytes }: Bounds,
  signal: AbortSignal,
): Promise<FetchAnswer> {
  if (new URL(url).href !== url) throw new Refused("network: The URL is not the one that was decided on.");
  const sent = new Headers(headers);
  const values: string[] = [];
  for (const { header, value } of secrets.filter(({ origin }) => url.startsWith(`${origin}/`))) {
    const text = await secretOf(value);
    values.push(text);
    sent.set(header, text);
  }
  // Bytes, so that no content type is made up for them.
  const bytes = body === undefined ? null : encoding === "base64" ? fromBinary(atob(body)) : encoder.encode(body);
  const response = await fetch(url, {
    method,
    headers: sent,
    body: bytes,
    signal,
    redirect: "manual",
    credentials: "omit",
    mode: "cors",
    cache: "no-store",
    referrer: "",
    referrerPolicy: "no-referrer",
    keepalive: false,
  });
  // A browser says only that there is a redirect, and neither its status nor where it leads.
  if (
    response.type === "opaqueredirect" ||
    response.redirected ||
    [301, 302, 303, 307, 308].includes(response.status)
  ) {
    throw new Refused(
      "redirect: The server redirects. That is not followed; where it leads would be a request of its own.",
    );
  }
  const scrub = scrubber(values);
  const received = toBinary(await readAll(response, maxBytes));
  const seen = responseHeaders.flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [[name, scrub(value).slice(0, MAX_HEADER)] as const];
  });
  return { status: response.status, headers: Object.fromEntries(seen), ...textOf(fromBinary(scrub(received))) };
}

async function readAll(response: Response, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      reader.cancel().catch(() => {});
      throw new Refused(`size-limit: The answer has more than ${maxBytes} bytes.`);
    }
    parts.push(value);
  }
  return joinBytes(parts);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): Pick<FetchAnswer, "body" | "encoding"> {
  try {
    return { body: decoder.decode(bytes), encoding: "utf-8" };
  } catch {
    return { body: btoa(toBinary(bytes)), encoding: "base64" };
  }
}

async function secretOf(value: FetchSecret["value"]): Promise<string> {
  let text: unknown = value;
  try {
    if (typeof value === "function") text = await value();
  } catch {} // what it says of why is not for the guest
  if (!isSecret(text)) throw new Refused("secret: What the host adds to such requests is not there.");
  return text;
}

/** Short ones could not be told from other text in an answer. */
const isSecret = (value: unknown): value is string =>
  typeof value === "string" && value.length >= 8 && value.length <= MAX_HEADER && new RegExp(HEADER_VALUE).test(value);

// ── What must not leave ─────────────────────────────────────────────────────────────────────────────────────────────

/** Ends of what a run has sent so far, in which the beginning of a leak may be. */
interface Said {
  url: string;
  pieces: readonly string[];
  headers: string;
  body: string;
}

/** Characters of it that are kept. */
const MAX_SAID = 2048;

async function leaksOf(input: FetchInput, before: Said | undefined): Promise<Leaks> {
  const { url, headers = {}, body = "", encoding } = input;
  const kinds = new Set<LeakKind>();
  /** Whether all that was found stands where something else can be put in its place. */
  let movable = true;
  const redact = async (text: string): Promise<string> => {
    const found = await findLeaks(text);
    for (const { kind } of found) kinds.add(kind);
    let redacted = text;
    let last = text.length;
    for (const { start, end } of found.toSorted((a, b) => b.end - a.end || a.start - b.start)) {
      const until = Math.min(end, last);
      if (start < until) redacted = redacted.slice(0, start) + REDACTED + redacted.slice(until);
      last = Math.min(last, start);
    }
    return redacted;
  };
  const note = (found: Iterable<LeakKind>) => {
    for (const kind of found) {
      kinds.add(kind);
      movable = false;
    }
  };

  const { origin, hostname, pathname, search } = new URL(url);
  // A name can carry anything, by way of the servers that look it up.
  for (const text of [hostname, hostname.split(".").slice(0, -2).join("")]) note(await kindsOf(text));
  const path = await redact(pathname);
  const query = await redact(search);
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) kept[name] = await redact(value);
  let text = body;
  if (encoding === "base64") note(await kindsIn(fromBinary(atob(body))));
  else text = await redact(body);
  if (before) {
    const now = saidBy(input, before);
    for (const part of ["url", "headers", "body"] as const) note(await across(before[part], now[part]));
  }
  if (kinds.size === 0) return { kinds: [] };
  const redacted = {
    ...input,
    url: `${origin}${path}${query}`,
    ...(input.headers && { headers: kept }),
    ...(input.body !== undefined && { body: text }),
  };
  return { kinds: [...kinds].sort(), ...(movable && { redacted }) };
}

const kindsOf = async (text: string): Promise<LeakKind[]> => (await findLeaks(text)).map(({ kind }) => kind);

/** Kinds of what begins in what was said before and ends in what is said now. */
async function across(before: string, now: string): Promise<LeakKind[]> {
  if (before === "" || now === "") return [];
  const border = before.length;
  const found = await findLeaks(before + now.slice(0, MAX_SAID));
  return found.flatMap(({ kind, start, end }) => (kind !== "entropy" && start < border && border < end ? [kind] : []));
}

/** What a request says in each place where the one before it said something else. */
function saidBy({ url, headers = {}, body = "" }: FetchInput, before: Said | undefined): Said {
  const { hostname, pathname, search } = new URL(url);
  const pieces = [...hostname.split("."), ...`${pathname}${search}`.split(/[/?&=]/)];
  const fresh = pieces.filter((piece, i) => piece !== before?.pieces[i]);
  return { pieces, url: fresh.join(""), headers: Object.values(headers).join(""), body };
}

function remember(said: WeakMap<AbortSignal, Said>, run: AbortSignal, input: FetchInput): void {
  const before = said.get(run);
  const now = saidBy(input, before);
  const end = (part: "url" | "headers" | "body") => ((before?.[part] ?? "") + now[part]).slice(-MAX_SAID);
  said.set(run, { pieces: now.pieces, url: end("url"), headers: end("headers"), body: end("body") });
}

// ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function readSecrets(given: readonly FetchSecret[], requestHeaders: readonly string[]): FetchSecret[] {
  return given.map(({ origin, header, value }) => {
    if (origin.includes("*")) throw invalid(`the secret for ${origin} needs one origin`);
    schemaOf({ origin });
    checkHeader(header);
    if (requestHeaders.includes(header)) throw invalid(`${header} holds a secret, so no guest can set it`);
    if (typeof value !== "function" && !isSecret(value)) {
      throw invalid(`the secret in ${header} is not 8 to ${MAX_HEADER} printable characters`);
    }
    return Object.freeze({ origin, header, value });
  });
}

function checkHeader(name: string): void {
  checkName(name);
  if (FORBIDDEN.test(name)) throw invalid(`${name} is not for a page to set`);
}

function checkName(name: string): void {
  if (typeof name !== "string" || !HEADER_NAME.test(name)) {
    throw invalid(`${JSON.stringify(name)} is not a header's name in lower case`);
  }
}

function inRange(option: string, value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > max) {
    throw invalid(`${option} is ${value}; give a whole number from 1 to ${max}`);
  }
}

const invalid = (what: string): VakError => new VakError("invalid-argument", `fetchTool: ${what}.`);
