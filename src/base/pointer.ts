/** JSON pointers (RFC 6901). */

/** The pointer to a field or an element of what `pointer` points to. */
export function childPointer(pointer: string, key: string): string {
  return `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/**
 * Decodes a step of a pointer in a URI fragment (§6), such as the `$ref` of a schema.
 *
 * @throws URIError when it is not percent-encoded UTF-8
 */
export function stepOf(encoded: string): string {
  return decodeURIComponent(encoded).replaceAll("~1", "/").replaceAll("~0", "~");
}
