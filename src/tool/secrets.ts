/** The values in an input that a tool's schema marks: secrets (`writeOnly`) and URLs (`format: "http-url"`). */
import { childPointer } from "../base/pointer.ts";
import { normalUrl } from "../base/url.ts";
import { type JsonSchema, schemaAt } from "./schema.ts";

/**
 * JSON pointers to the values in an input that its schema marks `"writeOnly": true` (JSON Schema 2020-12, validation
 * §9.4): secrets, which the log must not keep. When in doubt a value is left out rather than a secret kept.
 */
export function secretsOf(schema: JsonSchema, input: unknown): string[] {
  return placesOf(schema, input, ({ writeOnly }) => writeOnly === true, true);
}

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
  const places = new Set(placesOf(schema, input, ({ format }) => format === HTTP_URL, false));
  return places.size === 0 ? input : rewrite(input, "", places);
}

function rewrite(value: unknown, pointer: string, places: ReadonlySet<string>): unknown {
  if (typeof value === "string" && places.has(pointer)) {
    try {
      return normalUrl(value);
    } catch (error) {
      throw new Error(`input${pointer.replaceAll("/", ".")} ${(error as Error).message}`);
    }
  }
  if (Array.isArray(value)) return Object.freeze(value.map((item, i) => rewrite(item, `${pointer}/${i}`, places)));
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.create(null);
  for (const [key, item] of Object.entries(value)) copy[key] = rewrite(item, childPointer(pointer, key), places);
  return Object.freeze(copy);
}

/** Keywords whose schemas describe the same value as the schema around them. */
const SAME_LISTS = ["allOf", "anyOf", "oneOf"];
const SAME = ["if", "then", "else", "not"];

/**
 * JSON pointers to the values in an input whose schema is marked. A mark in any branch counts, whether or not the
 * input is valid under that branch.
 *
 * @param patterned whether to look at `patternProperties`
 */
function placesOf(
  schema: JsonSchema,
  input: unknown,
  isMarked: (schema: JsonSchema) => boolean,
  patterned: boolean,
): string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  const ids = new Map<unknown, number>();

  const visit = (at: unknown, value: unknown, pointer: string): void => {
    if (typeof at !== "object" || at === null || found.has(pointer)) return;
    // Schemas may refer back to themselves, and several paths may lead to the same place.
    if (!ids.has(at)) ids.set(at, ids.size);
    const step = `${ids.get(at)} ${pointer}`;
    if (seen.has(step)) return;
    seen.add(step);

    const s = at as JsonSchema;
    if (isMarked(s)) {
      found.add(pointer);
      return;
    }
    if (typeof s.$ref === "string") visit(schemaAt(s.$ref, schema), value, pointer);
    for (const keyword of SAME) visit(s[keyword], value, pointer);
    for (const keyword of SAME_LISTS) for (const branch of listOf(s[keyword])) visit(branch, value, pointer);
    for (const [, branch] of fieldsOf(s.dependentSchemas)) visit(branch, value, pointer);

    if (Array.isArray(value)) {
      const prefix = listOf(s.prefixItems);
      for (const [i, item] of value.entries()) {
        for (const inner of [prefix[i], s.items, s.contains, s.unevaluatedItems]) visit(inner, item, `${pointer}/${i}`);
      }
      return;
    }
    const patterns = patterned ? fieldsOf(s.patternProperties) : [];
    for (const [key, item] of fieldsOf(value)) {
      const inner = childPointer(pointer, key);
      const named = fieldsOf(s.properties).find(([name]) => name === key);
      visit(named?.[1], item, inner);
      for (const [pattern, branch] of patterns) if (new RegExp(pattern, "u").test(key)) visit(branch, item, inner);
      for (const branch of [s.additionalProperties, s.unevaluatedProperties]) visit(branch, item, inner);
    }
  };

  visit(schema, input, "");
  return [...found];
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const fieldsOf = (value: unknown): [string, unknown][] =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
