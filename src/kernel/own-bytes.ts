/** Bytes that the page gives, copied, so that it cannot change them afterwards. */
import { toUtf8 } from "../base/utf8.ts";

/** A copy of the bytes, or the text as UTF-8. */
export function toBytes(data: string | BufferSource): Uint8Array<ArrayBuffer> {
  if (typeof data === "string") return toUtf8(data);
  const view = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data;
  return new Uint8Array(view as ArrayBuffer).slice();
}
