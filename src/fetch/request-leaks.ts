/** Leaks in a request: in each of its parts, and across the requests that a run has already made. */

import { fromBinary } from "../base/binary.ts";
import type { Leaks } from "../tool/definition.ts";
import { findLeaks, kindsIn, type LeakKind } from "./leaks.ts";
import { REDACTED } from "./scrub.ts";
import type { FetchInput } from "./shape.ts";

/** The ends of what a run has sent, part by part: a leak may begin there and end in the next request. */
export interface Sent {
  readonly url: string;
  /** The pieces of the last URL. */
  readonly pieces: readonly string[];
  readonly headers: string;
  readonly body: string;
}

const PARTS = ["url", "headers", "body"] as const;

/** Characters of each part that are kept. */
const MAX_SENT = 2048;

/**
 * The kinds of leaks in a request, and the request without them if each can be replaced where it is.
 *
 * @param before what the run has sent already
 */
export async function leaksOf(input: FetchInput, before: Sent | undefined): Promise<Leaks> {
  const { url, headers = {}, body = "", encoding } = input;
  const kinds = new Set<LeakKind>();
  let replaceable = true;
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
      replaceable = false;
    }
  };

  const { origin, hostname, pathname, search } = new URL(url);
  // A host name can carry data too: to the name servers that look it up.
  for (const text of [hostname, hostname.split(".").slice(0, -2).join("")]) note(await kindsOf(text));
  const path = await redact(pathname);
  const query = await redact(search);
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) values[name] = await redact(value);
  let text = body;
  if (encoding === "base64") note(await kindsIn(fromBinary(atob(body))));
  else text = await redact(body);
  if (before) {
    const now = changesOf(input, before);
    for (const part of PARTS) note(await kindsAcross(before[part], now[part]));
  }
  if (kinds.size === 0) return { kinds: [] };
  const redacted = {
    ...input,
    url: `${origin}${path}${query}`,
    ...(input.headers && { headers: values }),
    ...(input.body !== undefined && { body: text }),
  };
  return { kinds: [...kinds].sort(), ...(replaceable && { redacted }) };
}

/** What a run has sent once it has made this request too. */
export function sentWith(before: Sent | undefined, input: FetchInput): Sent {
  const now = changesOf(input, before);
  const end = (part: (typeof PARTS)[number]) => ((before?.[part] ?? "") + now[part]).slice(-MAX_SENT);
  return { pieces: now.pieces, url: end("url"), headers: end("headers"), body: end("body") };
}

/** The parts of a request, without those pieces of its URL that are the same as in the request before. */
function changesOf({ url, headers = {}, body = "" }: FetchInput, before: Sent | undefined): Sent {
  const { hostname, pathname, search } = new URL(url);
  const pieces = [...hostname.split("."), ...`${pathname}${search}`.split(/[/?&=]/)];
  const changed = pieces.filter((piece, i) => piece !== before?.pieces[i]);
  return { pieces, url: changed.join(""), headers: Object.values(headers).join(""), body };
}

const kindsOf = async (text: string): Promise<LeakKind[]> => (await findLeaks(text)).map(({ kind }) => kind);

/** Kinds of leaks that begin in an earlier request and end in this one. */
async function kindsAcross(before: string, now: string): Promise<LeakKind[]> {
  if (before === "" || now === "") return [];
  const border = before.length;
  const found = await findLeaks(before + now.slice(0, MAX_SENT));
  return found.flatMap(({ kind, start, end }) => (kind !== "entropy" && start < border && border < end ? [kind] : []));
}
