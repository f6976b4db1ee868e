/** Finds the values in an input whose schema bears a mark. */
import { isObject } from "../base/guards.ts";
import { childPointer } from "../base/pointer.ts";
import { type JsonSchema, schemaAt } from "./schema.ts";

/** Keywords whose schemas describe the same value as the schema around them. */
const SAME_LISTS = ["allOf", "anyOf", "oneOf"];
const SAME = ["if", "then", "else", "not"];

/**
 * JSON pointers to the values in an input whose schema is marked. A mark in any branch counts, whether or not the
 * input is valid under that branch.
 *
 * @param patterned whether to look at `patternProperties`
 */
export function markedValues(
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
      if (isObject(s.properties) && Object.hasOwn(s.properties, key)) visit(s.properties[key], item, inner);
      for (const [pattern, branch] of patterns) if (new RegExp(pattern, "u").test(key)) visit(branch, item, inner);
      for (const branch of [s.additionalProperties, s.unevaluatedProperties]) visit(branch, item, inner);
    }
  };

  visit(schema, input, "");
  return [...found];
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const fieldsOf = (value: unknown): [string, unknown][] => (isObject(value) ? Object.entries(value) : []);
