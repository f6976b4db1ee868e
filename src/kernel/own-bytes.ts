/** Bytes that the page gives, copied, so that it cannot change them afterwards. */
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";

/**
 * A copy of the bytes, or the text as UTF-8.
 *
 * @throws VakError `invalid-argument` when the buffer of the bytes was transferred
 */
export function toBytes(data: string | BufferSource): Uint8Array<ArrayBuffer> {
  if (typeof data === "string") return toUtf8(data);
  try {
    const view = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data;
    return new Uint8Array(view as ArrayBuffer).slice();
  } catch (cause) {
    throw new VakError("invalid-argument", "Bytes cannot be read: their buffer was transferred. Pass a copy.", {
      cause,
    });
  }
}
