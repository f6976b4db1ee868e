import { normalUrl } from "../base/url.ts";
import { VakError } from "../errors.ts";

/** Requests that a {@link fetchTool} can make at all; whether it may is for the policy to say. */
export interface AllowedRequests {
  /**
   * As `https://api.example.com`, with a port where it is not the usual one. `https://*.example.com` is every name below
   * example.com, but not itself; `https://*` is every name but those that are not public. Neither is ever an IP address, or
   * has a port.
   */
  readonly origin: string;
  /**
   * Where paths must begin: `/v1/` is all that is below, `/v1` that and `/v1` itself, but not `/v10`. All paths unless given.
   */
  readonly pathPrefix?: string;
  /** Of `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`; only `GET` unless given. */
  readonly methods?: readonly string[];
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** Ends of names that are not public (RFC 6761, 6762, 7686, 8375; ICANN's `internal`), or that house networks use. */
const NOT_PUBLIC = [
  ...["localhost", "local", "internal", "test", "invalid", "onion", "home\\.arpa"],
  ...["lan", "home", "corp", "intranet", "private", "localdomain"],
];

const LABELS = "(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\\.)+";
/** A top-level name begins with a letter; of IPv4 addresses, the last part does not. */
const PUBLIC = `(?![^/]*\\.(?:${NOT_PUBLIC.join("|")})/)${LABELS}[a-z][a-z0-9-]*`;

/**
 * The JSON Schema of requests that an entry of `allow` lets pass. It is about URLs in their one spelling, and stands in
 * the tool's `inputSchema`: so a guest can read it, the log has it, and it is checked before anything is decided.
 *
 * @throws VakError `invalid-argument`
 */
export function schemaOf({ origin, pathPrefix = "/", methods = ["GET"], ...rest }: AllowedRequests) {
  const [stray] = Object.keys(rest);
  if (stray !== undefined) throw invalid(`an entry has ${JSON.stringify(stray)}, which means nothing`);
  if (!Array.isArray(methods) || methods.length === 0 || !methods.every((method) => METHODS.includes(method))) {
    throw invalid(`the methods of ${origin} are some of ${METHODS.join(", ")}`);
  }
  const path = pathOf(pathPrefix);
  const end = path.endsWith("/") ? "" : "(?=[/?]|$)";
  const pattern = `^${originPattern(origin)}${literally(path)}${end}`;
  return { properties: { url: { pattern }, method: { enum: [...methods] } } };
}

function originPattern(origin: string): string {
  const below = /^https:\/\/\*(?:\.(.+))?$/.exec(typeof origin === "string" ? origin : "");
  if (below && below[1] === undefined) return `https://${PUBLIC}`;
  const plain = below ? `https://${below[1]}` : origin;
  let normal: string | undefined;
  try {
    normal = normalUrl(String(plain)).slice(0, -1);
  } catch {} // it is said below
  const host = normal?.replace(/^https?:\/\//, "") ?? "";
  if (
    normal === undefined ||
    normal !== plain ||
    host.includes("*") ||
    (below && !/^[a-z0-9.-]*\.[a-z][a-z0-9-]*$/.test(host))
  ) {
    const say = normal === undefined || normal === plain || below ? "https://api.example.com" : normal;
    throw invalid(`${JSON.stringify(origin)} is not an origin; write it as ${say}`);
  }
  return below ? `https://${LABELS}${literally(host)}` : literally(normal);
}

function pathOf(prefix: string): string {
  let normal: string | undefined;
  try {
    normal = normalUrl(`https://a.example${prefix}`).slice("https://a.example".length);
  } catch {} // it is said below
  if (normal !== prefix || prefix.includes("?")) {
    throw invalid(`${JSON.stringify(prefix)} is not how a path begins; write it as ${normal?.split("?")[0] ?? "/v1/"}`);
  }
  return prefix;
}

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");

const invalid = (what: string): VakError => new VakError("invalid-argument", `fetchTool, allow: ${what}.`);
