/** What a guest gets of a response: no redirect, only listed headers, a bounded body, and no secret of the host's. */
import { fromBinary, toBinary } from "../base/binary.ts";
import { readBody, textOrBase64 } from "./body.ts";
import { Refused } from "./errors.ts";
import { MAX_HEADER } from "./headers.ts";
import { scrubber } from "./scrub.ts";
import type { FetchAnswer } from "./shape.ts";

/** How much of a response a guest gets. */
export interface ResponseBounds {
  /** Names of the headers that it may read. */
  readonly headers: readonly string[];
  /** Bytes of the body. */
  readonly maxBytes: number;
}

/** @param secrets sent with the request: they are removed from the answer if the server returns them */
export async function answerOf(
  response: Response,
  { headers, maxBytes }: ResponseBounds,
  secrets: readonly string[],
): Promise<FetchAnswer> {
  refuseRedirect(response);
  const scrub = scrubber(secrets);
  const body = scrub(toBinary(await readBody(response, maxBytes)));
  const readable = headers.flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [[name, scrub(value).slice(0, MAX_HEADER)] as const];
  });
  return { status: response.status, headers: Object.fromEntries(readable), ...textOrBase64(fromBinary(body)) };
}

/** A browser hides a redirect's status and where it leads (an `opaqueredirect`); other runtimes show both. */
function refuseRedirect({ type, redirected, status }: Response): void {
  if (type !== "opaqueredirect" && !redirected && ![301, 302, 303, 307, 308].includes(status)) return;
  throw new Refused(
    "redirect: The server redirects, and redirects are not followed. Request the address it leads to, if you know it.",
  );
}
