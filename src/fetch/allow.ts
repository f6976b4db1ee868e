/** The option `allow`: what may be requested at all, as a part of the tool's JSON Schema. */
import { normalUrl } from "../base/url.ts";
import { invalid } from "./errors.ts";

/** Requests that a {@link fetchTool} can make at all. Whether it may make one is for the policy to decide. */
export interface AllowedRequests {
  /**
   * An origin, such as `https://api.example.com`, with its port unless that is the default. `https://*.example.com` is
   * every name below example.com, but not example.com itself; `https://*` is every public name. A `*` never stands for
   * an IP address, and an origin with `*` has no port.
   */
  readonly origin: string;
  /**
   * How paths must begin: `/v1/` allows everything below it; `/v1` allows that and `/v1` itself, but not `/v10`.
   * Default: all paths.
   */
  readonly pathPrefix?: string;
  /** Some of `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`. Default: `GET`. */
  readonly methods?: readonly string[];
}

const FIELDS = "origin, pathPrefix and methods";
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** Endings of names that are not public (RFC 6761, 6762, 7686, 8375; ICANN's `internal`) or usual in local networks. */
const NOT_PUBLIC = [
  ...["localhost", "local", "internal", "test", "invalid", "onion", "home\\.arpa"],
  ...["lan", "home", "corp", "intranet", "private", "localdomain"],
];

const LABELS = "(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\\.)+";
/** A top-level domain begins with a letter; the last part of an IPv4 address does not. */
const PUBLIC = `(?![^/]*\\.(?:${NOT_PUBLIC.join("|")})/)${LABELS}[a-z][a-z0-9-]*`;

/**
 * The JSON Schema of the requests that an entry of `allow` allows, for normalised URLs. It is part of the tool's
 * `inputSchema`, so guests can read it, the log contains it, and it is checked before anything is decided.
 *
 * @throws VakError `invalid-argument`
 */
export function schemaOf({ origin, pathPrefix = "/", methods = ["GET"], ...rest }: AllowedRequests) {
  const [stray] = Object.keys(rest);
  if (stray !== undefined)
    throw invalid(`allow has an entry with an unknown field ${JSON.stringify(stray)}; the fields are ${FIELDS}`);
  if (!Array.isArray(methods) || methods.length === 0 || !methods.every((method) => METHODS.includes(method))) {
    throw invalid(`the methods for ${origin} in allow must be some of ${METHODS.join(", ")}`);
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
  } catch {} // reported below
  const host = normal?.replace(/^https?:\/\//, "") ?? "";
  if (
    normal === undefined ||
    normal !== plain ||
    host.includes("*") ||
    (below && !/^[a-z0-9.-]*\.[a-z][a-z0-9-]*$/.test(host))
  ) {
    const right = normal === undefined || normal === plain || below ? "https://api.example.com" : normal;
    throw invalid(`${JSON.stringify(origin)} is not an origin; write it as ${right}`);
  }
  return below ? `https://${LABELS}${literally(host)}` : literally(normal);
}

function pathOf(prefix: string): string {
  let normal: string | undefined;
  try {
    normal = normalUrl(`https://a.example${prefix}`).slice("https://a.example".length);
  } catch {} // reported below
  if (normal !== prefix || prefix.includes("?")) {
    const right = normal?.split("?")[0] ?? "/v1/";
    throw invalid(`${JSON.stringify(prefix)} is not the beginning of a path; write it as ${right}`);
  }
  return prefix;
}

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
