/** Puts the URLs in an input, the strings that a tool's schema gives `format: "http-url"`, into their one spelling. */
import { errorText } from "../base/error-text.ts";
import { childPointer } from "../base/pointer.ts";
import { normalUrl } from "../base/url.ts";
import { markedValues } from "./marked-values.ts";
import type { JsonSchema } from "./schema.ts";

/** The `format` of strings that are normalised as URLs. */
const HTTP_URL = "http-url";

/**
 * A frozen copy of an input in which each string with `"format": "http-url"` in its schema is spelled as
 * {@link normalUrl} spells it; the input itself where there is none. Fields that only `patternProperties` describes are
 * left as they are: the schema, and so its patterns, may come from somebody else's log.
 *
 * @throws Error naming the string that is not such a URL, and why
 */
export function withNormalUrls(schema: JsonSchema, input: unknown): unknown {
  const places = new Set(markedValues(schema, input, ({ format }) => format === HTTP_URL, false));
  return places.size === 0 ? input : rewrite(input, "", places);
}

function rewrite(value: unknown, pointer: string, places: ReadonlySet<string>): unknown {
  if (typeof value === "string" && places.has(pointer)) {
    try {
      return normalUrl(value);
    } catch (error) {
      throw new Error(`input${pointer.replaceAll("/", ".")} ${errorText(error)}`);
    }
  }
  if (Array.isArray(value)) return Object.freeze(value.map((item, i) => rewrite(item, `${pointer}/${i}`, places)));
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.create(null);
  for (const [key, item] of Object.entries(value)) copy[key] = rewrite(item, childPointer(pointer, key), places);
  return Object.freeze(copy);
}
