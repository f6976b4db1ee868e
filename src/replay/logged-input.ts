/** Compares the input of a call with the one that the log commits to. */
import { withhold } from "../audit/value.ts";
import { canonicalJson } from "../base/canonical.ts";
import { withNormalUrls } from "../tool/url-spelling.ts";
import type { KnownCall } from "./recording.ts";

/**
 * An input as the log commits to it. One without a canonical form is written as JSON: the log never commits to such an
 * input.
 */
export function spelled(input: unknown, { withheld, schema }: NonNullable<KnownCall["input"]>): string {
  try {
    return canonicalJson(withhold(withNormalUrls(schema, input), "", new Set(withheld), []));
  } catch {
    return JSON.stringify(input);
  }
}

/** Whether `redacted` is `whole` with some of it replaced. */
export function isRedacted(whole: string, redacted: string): boolean {
  const [first = "", ...rest] = redacted.split("REDACTED");
  const last = rest.pop();
  if (last === undefined || !whole.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = whole.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return whole.length - last.length >= at && whole.endsWith(last);
}
