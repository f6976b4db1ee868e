/**
 * One spelling for each URL (URL Standard, RFC 3986). Browsers treat many spellings as the same URL, and people,
 * policies and servers may read some of them differently: what is decided on must be what is fetched.
 */

/** The longest URL, UTF-16 units, before and after. */
const MAX_URL = 8192;

/** What must be encoded in a path or a query (RFC 3986): browsers do not agree on all of it. */
const UNSAFE = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/g;

/** How many times a path is decoded to find what a server might find in it. */
const MAX_DECODINGS = 4;

/**
 * The one spelling of an `http:` or `https:` URL: as the URL Standard serialises it (scheme and host in lower case,
 * IPv4 as four decimals, punycode, without default port, dot segments, tabs and line breaks), without fragment,
 * without the dot at the end of the host, and with everything percent-encoded in path and query that RFC 3986 does
 * not allow there. It is idempotent.
 *
 * @throws Error that says why it has no such spelling: it is not absolute, has another scheme, a user name or password,
 *   a host with anything but letters, digits, `-`, `_` and dots between them, or a path in which a server may find `..`
 *   (`%2e%2e`, `..%2f`, `..;`, also encoded twice)
 * @example normalUrl("HTTPS://API.Example.com.:443/a/../b#c") // "https://api.example.com/b"
 */
export function normalUrl(text: string): string {
  if (text.length > MAX_URL) throw new Error(`is longer than ${MAX_URL} characters`);
  const url = parse(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw new Error("is neither http: nor https:");
  if (url.username !== "" || url.password !== "") throw new Error("has a user name or a password in it");
  const { protocol, port, pathname, search } = url;
  const host = url.hostname.replace(/\.$/, "");
  if (!host.startsWith("[") && host.split(".").some((label) => label === ""))
    throw new Error("has an empty part in its host");
  // Chromium allows more characters in a host than other browsers do.
  if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:]+\])$/.test(host))
    throw new Error("has a character in its host that hosts do not have");
  const path = pathname.replace(UNSAFE, encode);
  if (hidesDots(path)) throw new Error('has a path in which a server may find ".."');
  const href = `${protocol}//${host}${port && `:${port}`}${path}${search.replace(UNSAFE, encode)}`;
  if (href.length > MAX_URL) throw new Error(`is longer than ${MAX_URL} characters`);
  // If the browser reads the result differently, the URL has no single spelling.
  if (parse(href).href !== href) throw new Error("can be read in two ways");
  return href;
}

/** The parts of a URL as {@link normalUrl} spells it. */
export function urlParts(href: string): {
  href: string;
  scheme: string;
  host: string;
  port: number;
  path: string;
  query: string;
} {
  const { protocol, hostname: host, port, pathname: path, search } = parse(href);
  const scheme = protocol.slice(0, -1);
  return { href, scheme, host, port: Number(port || (scheme === "https" ? 443 : 80)), path, query: search.slice(1) };
}

function parse(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new Error("is not a URL");
  }
}

const encode = (char: string): string =>
  char === "#" ? char : `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;

/** Whether a path has a segment that is `.` or `..` to a server that decodes or cuts off more than a browser does. */
function hidesDots(path: string): boolean {
  let at = path;
  for (let times = 0; times < MAX_DECODINGS; times++) {
    const decoded = at.replace(/%(2[5ef]|5c)/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (decoded.split(/[/\\]/).some((segment) => /^\.\.?(;|$)/.test(segment))) return true;
    if (decoded === at) return false;
    at = decoded;
  }
  return true;
}
