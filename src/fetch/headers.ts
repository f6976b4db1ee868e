/** Which headers a request may have, and what their values may be (Fetch Standard, "forbidden request-header"). */
import { invalid } from "./errors.ts";

/** Names that a browser sets itself, and drops or refuses when a page sets them (https://fetch.spec.whatwg.org). */
const FORBIDDEN =
  /^(?:accept-(?:charset|encoding)|access-control-.*|connection|content-length|cookie2?|date|dnt|expect|host|keep-alive|origin|referer|set-cookie2?|te|trailer|transfer-encoding|upgrade|via|proxy-.*|sec-.*|x-(?:http-)?method(?:-override)?)$/;
const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** Printable ASCII, as a browser sends it: without spaces at either end. */
export const HEADER_VALUE = "^(?:[!-~](?:[ -~]*[!-~])?)?$";
/** Characters of a header's value. */
export const MAX_HEADER = 4096;

/** @throws VakError `invalid-argument` when a page cannot send a header of this name */
export function checkRequestHeader(name: string): void {
  checkHeaderName(name);
  if (FORBIDDEN.test(name)) throw invalid(`only the browser sets the header ${name}; remove it`);
}

/** @throws VakError `invalid-argument` */
export function checkHeaderName(name: string): void {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw invalid(`${JSON.stringify(name)} is not the name of a header; write it in lower case`);
  }
}
