/** `fetchTool`: the tool that makes HTTP requests, with its options checked. */
import type { Tool } from "../tool/definition.ts";
import { type AllowedRequests, schemaOf } from "./allow.ts";
import { invalid } from "./errors.ts";
import { checkHeaderName, checkRequestHeader } from "./headers.ts";
import { leaksOf, type Sent, sentWith } from "./request-leaks.ts";
import { type FetchSecret, readSecrets } from "./secrets.ts";
import { send } from "./send.ts";
import { type FetchInput, inputSchema, OUTPUT_SCHEMA } from "./shape.ts";

export interface FetchToolOptions {
  /** What may be requested at all. */
  readonly allow: readonly AllowedRequests[];
  /** The tool's name. Default: `fetch`. */
  readonly name?: string;
  /** Headers that a guest may send. Default: `accept`, `accept-language` and `content-type`. */
  readonly requestHeaders?: readonly string[];
  /** Headers of an answer that a guest may read, if the server lets the page read them. Default: `content-type`. */
  readonly responseHeaders?: readonly string[];
  readonly secrets?: readonly FetchSecret[];
  /** Bytes of an answer's body, from 1 to 64 Mi. Default: 512 Ki. `callBytes` limits the answer as a whole. */
  readonly maxBytes?: number;
  /** ms from the request to the last byte of its answer, from 1 to 2^31 − 1. Default: 30,000. */
  readonly timeoutMs?: number;
}

const MAX_TIMEOUT = 2 ** 31 - 1;
const MAX_BYTES = 64 * 2 ** 20;

/**
 * A tool that makes HTTP requests, and a guest's only access to the network. `allow` says what may be requested at all.
 * The policy decides on each request: by the URL, in exactly the spelling in which it is fetched, and by the leaks that
 * were found in it (`context.vak.leaks`). No cookies and no referrer are sent, redirects are not followed, and size and
 * time are bounded.
 *
 * A request that fails answers the guest with a `tool-error` whose message begins with `redirect:`, `size-limit:`,
 * `time-limit:`, `network:` or `secret:`.
 *
 * @throws VakError `invalid-argument` naming the option
 * @example
 * const web = fetchTool({ allow: [{ origin: "https://api.example.com", pathPrefix: "/v1/", methods: ["GET"] }] });
 */
export function fetchTool(options: FetchToolOptions): Tool<FetchInput> {
  const { allow, name = "fetch", maxBytes = 512 * 1024, timeoutMs = 30_000 } = options;
  const { requestHeaders = ["accept", "accept-language", "content-type"], responseHeaders = ["content-type"] } =
    options;
  if (!Array.isArray(allow) || allow.length === 0) throw invalid("allow must list what may be requested");
  const allowed = allow.map(schemaOf);
  const methods = [...new Set(allowed.flatMap(({ properties }) => properties.method.enum))];
  for (const header of requestHeaders) checkRequestHeader(header);
  for (const header of responseHeaders) checkHeaderName(header);
  const secrets = readSecrets(options.secrets ?? [], requestHeaders);
  checkRange("maxBytes", maxBytes, MAX_BYTES);
  checkRange("timeoutMs", timeoutMs, MAX_TIMEOUT);
  const bounds = { headers: [...responseHeaders], maxBytes, timeoutMs };
  /** By a run's signal. */
  const sent = new WeakMap<AbortSignal, Sent>();

  // Not by defineTool: this entry point works with any build of vak, and the kernel checks the tool itself.
  return Object.freeze({
    name,
    title: "Fetch",
    description: `Makes an HTTP request. ${allow
      .map(({ origin, pathPrefix = "/", methods = ["GET"] }) => `${methods.join(", ")} ${origin}${pathPrefix}…`)
      .join("; ")
      .slice(0, 4000)}`,
    inputSchema: inputSchema(allowed, methods, requestHeaders),
    outputSchema: OUTPUT_SCHEMA,
    annotations: {
      openWorldHint: true,
      readOnlyHint: methods.every((method) => method === "GET" || method === "HEAD"),
    },
    // An answer may have been written to mislead whoever reads it.
    labels: { returns: ["untrusted"] },
    leaks: (input, { signal }) => leaksOf(input, sent.get(signal)),
    execute(input, { signal }) {
      sent.set(signal, sentWith(sent.get(signal), input));
      return send(input, secrets, bounds, signal);
    },
  } satisfies Tool<FetchInput>);
}

function checkRange(option: string, value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > max) {
    throw invalid(`${option} is ${value}; give a whole number from 1 to ${max}`);
  }
}
