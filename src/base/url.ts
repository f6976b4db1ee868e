/**
 * One spelling for each address of the web. A URL can be written in many ways that a browser takes for the same, and in
 * some that a person, a policy and a server take for different things. What is decided on has to be what is fetched.
 */

/** UTF-16 units of a URL, before and after. */
const MAX_URL = 8192;

/** What a path or a query may hold unencoded (RFC 3986); browsers do not agree on all the rest. */
const UNSAFE = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/g;

/** Times that a path is decoded in search of what a server may find in it. */
const MAX_DECODINGS = 4;

/**
 * The one spelling of an `http:` or `https:` URL: as the URL Standard serialises it (lower-case scheme and host, IPv4 in
 * four decimals, punycode, default port and dot segments gone, tabs and line breaks taken out), without fragment, without
 * the dot at the host's end, and with everything percent-encoded in path and query that RFC 3986 does not let stand there.
 * Giving it what it gave gives the same.
 *
 * @throws Error that says why there is none: it is not absolute, has another scheme, a user name or password, a host of
 *   other than letters, digits, `-`, `_` and dots between them, or a path in which a server may find `..` (`%2e%2e`,
 *   `..%2f`, `..;`, also encoded twice)
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
  // Chromium takes more characters for a host's than others do.
  if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:]+\])$/.test(host)) throw new Error("has what no host has in its host");
  const path = pathname.replace(UNSAFE, encode);
  if (hidesDots(path)) throw new Error("has a path in which a server may find a way up");
  const href = `${protocol}//${host}${port && `:${port}`}${path}${search.replace(UNSAFE, encode)}`;
  if (href.length > MAX_URL) throw new Error(`is longer than ${MAX_URL} characters`);
  // Where the browser reads it otherwise after all, it has no one spelling.
  if (parse(href).href !== href) throw new Error("can be read in two ways");
  return href;
}

/** The parts of a URL that is spelled as {@link normalUrl} does. */
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

/** Whether a path has a segment that is `.` or `..` to a server which decodes more, or cuts off more, than a browser. */
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
