/** Bodies: the bytes of a request's, and an answer's within its bound, as text or in base64. */
import { toBase64 } from "../base/base64.ts";
import { fromBinary } from "../base/binary.ts";
import { type Bytes, joinBytes } from "../base/bytes.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { Refused } from "./errors.ts";
import type { FetchAnswer, FetchInput } from "./shape.ts";

/** Bytes even for text, so that the browser adds no content type of its own. */
export function bytesOf({ body, encoding }: FetchInput): Bytes | null {
  if (body === undefined) return null;
  return encoding === "base64" ? fromBinary(atob(body)) : toUtf8(body);
}

/** Reads a body to its end; one with more than `maxBytes` is cancelled, and none of it returned. */
export async function readBody(response: Response, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      reader.cancel().catch(() => {});
      throw new Refused(`size-limit: The answer has more than ${maxBytes} bytes.`);
    }
    parts.push(value);
  }
  return joinBytes(parts);
}

/** A byte order mark stays in the text. */
export function textOrBase64(bytes: Uint8Array): Pick<FetchAnswer, "body" | "encoding"> {
  try {
    return { body: fromUtf8(bytes), encoding: "utf-8" };
  } catch {
    return { body: toBase64(bytes), encoding: "base64" };
  }
}
