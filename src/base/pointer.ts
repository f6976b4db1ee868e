/** JSON pointers (RFC 6901). */

/** The pointer to a field or an element of what `pointer` points to. */
export function childPointer(pointer: string, key: string): string {
  return `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/**
 * A step of a pointer in a URI fragment (§6), as a schema's `$ref` has it.
 *
 * @throws URIError when it is not percent-encoded UTF-8
 */
export function stepOf(encoded: string): string {
  return decodeURIComponent(encoded).replaceAll("~1", "/").replaceAll("~0", "~");
}
