/** The secrets that the host adds to requests: checked as options, and fetched anew for each request. */
import { schemaOf } from "./allow.ts";
import { invalid, Refused } from "./errors.ts";
import { checkRequestHeader, HEADER_VALUE, MAX_HEADER } from "./headers.ts";

/**
 * A header that the host adds to requests. Neither the guest, nor the policy, the log or a person who approves sees its
 * name or value.
 */
export interface FetchSecret {
  /** Requests to this origin get it; written as in {@link AllowedRequests}, without `*`. */
  readonly origin: string;
  /** The header that carries it. No guest can set it. */
  readonly header: string;
  /** At least 8 printable characters, or a function that returns them for each request. */
  readonly value: string | (() => string | Promise<string>);
}

/** @throws VakError `invalid-argument` */
export function readSecrets(given: readonly FetchSecret[], requestHeaders: readonly string[]): FetchSecret[] {
  return given.map(({ origin, header, value }) => {
    if (origin.includes("*")) throw invalid(`the secret for ${origin} needs a single origin, without *`);
    schemaOf({ origin });
    checkRequestHeader(header);
    if (requestHeaders.includes(header)) {
      throw invalid(`${header} carries a secret, so no guest can set it; remove it from requestHeaders`);
    }
    if (typeof value !== "function" && !isSecret(value)) {
      throw invalid(`the secret in ${header} must have 8 to ${MAX_HEADER} printable characters`);
    }
    return Object.freeze({ origin, header, value });
  });
}

/** The headers to add to a request for this URL. */
export async function secretHeaders(secrets: readonly FetchSecret[], url: string): Promise<[string, string][]> {
  const headers: [string, string][] = [];
  for (const { origin, header, value } of secrets) {
    if (url.startsWith(`${origin}/`)) headers.push([header, await provided(value)]);
  }
  return headers;
}

async function provided(value: FetchSecret["value"]): Promise<string> {
  let text: unknown = value;
  try {
    if (typeof value === "function") text = await value();
  } catch {} // its message is not for the guest
  if (!isSecret(text)) throw new Refused("secret: The host could not provide the secret that this request needs.");
  return text;
}

/** A shorter one could not be told apart from other text in an answer. */
const isSecret = (value: unknown): value is string =>
  typeof value === "string" && value.length >= 8 && value.length <= MAX_HEADER && new RegExp(HEADER_VALUE).test(value);
