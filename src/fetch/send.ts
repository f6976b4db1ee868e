/** Makes one HTTP request, exactly as it was decided on: no cookies, referrer, cache or redirects, and a deadline. */
import { bytesOf } from "./body.ts";
import { Refused } from "./errors.ts";
import { answerOf, type ResponseBounds } from "./response.ts";
import { type FetchSecret, secretHeaders } from "./secrets.ts";
import type { FetchAnswer, FetchInput } from "./shape.ts";

export interface Bounds extends ResponseBounds {
  /** From the request to the last byte of its answer. */
  readonly timeoutMs: number;
}

/**
 * @param ended aborted when the run ends, and the request with it
 * @throws Error with a message for the guest
 */
export async function send(
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
    if (late) throw new Error(`time-limit: The answer was not complete within ${bounds.timeoutMs} ms.`);
    throw error instanceof Refused ? new Error(error.message) : new Error("network: The request failed.");
  } finally {
    clearTimeout(timer);
    ended.removeEventListener("abort", onEnd);
    stop.abort(); // the rest of a refused answer is not downloaded
  }
}

async function exchange(
  input: FetchInput,
  secrets: readonly FetchSecret[],
  bounds: Bounds,
  signal: AbortSignal,
): Promise<FetchAnswer> {
  const { url, method, headers = {} } = input;
  if (new URL(url).href !== url) throw new Refused("network: The URL is not the one that was decided on.");
  const sent = new Headers(headers);
  const added = await secretHeaders(secrets, url);
  for (const [name, value] of added) sent.set(name, value);
  const response = await fetch(url, {
    method,
    headers: sent,
    body: bytesOf(input),
    signal,
    redirect: "manual",
    credentials: "omit",
    mode: "cors",
    cache: "no-store",
    referrer: "",
    referrerPolicy: "no-referrer",
    keepalive: false,
  });
  return answerOf(
    response,
    bounds,
    added.map(([, value]) => value),
  );
}
