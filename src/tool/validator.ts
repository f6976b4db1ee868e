/** Checks values against a schema that vak has read, by `@cfworker/json-schema`, in bounded time. */
import { dereference, type OutputUnit, type Schema, validate } from "@cfworker/json-schema";
import { type JsonSchema, onlyKnownKeywords } from "./schema.ts";

/** @throws Error naming the first thing that is wrong; `name` is what the value is called in it */
export type Check = (value: unknown, name: string) => void;

/** `$ref`s followed in one check. Alternatives that refer back to themselves can take exponentially many. */
const MAX_REFS = 65_536;

/** Keywords whose errors only say that an error inside them follows. */
const WRAPPERS = [
  ...["properties", "patternProperties", "additionalProperties", "items", "prefixItems"],
  ...["$ref", "allOf", "if"],
];
/** Clearer words where the library's say little. */
const ERRORS: Readonly<Record<string, string>> = {
  false: "no such field",
  anyOf: "matches none of the forms that the tool accepts",
};

/** @throws Error when the library cannot read the schema */
export function makeCheck(schema: JsonSchema): Check {
  const copy = structuredClone(onlyKnownKeywords(schema)) as Schema; // the library marks the schema it reads
  delete copy.$id; // `#/…` means the same without
  boundUniqueItems(copy);
  const lookup = dereference(copy);
  return (value, name) => check(copy, lookup, value, name);
}

function check(schema: Schema, lookup: ReturnType<typeof dereference>, value: unknown, name: string): void {
  let left = MAX_REFS;
  const counted = new Proxy(lookup, {
    get(target, uri: string) {
      if (--left < 0) throw new Error(`${name} takes too long to check against the schema`);
      return target[uri];
    },
  });
  const { valid, errors } = validate(value, schema, "2020-12", counted);
  if (valid) return;
  const first = errors.find((error) => !WRAPPERS.includes(error.keyword)) ?? errors[0];
  if (!first) throw new Error(`${name} is not valid`);
  throw new Error(`${pathOf(first, name)}: ${ERRORS[first.keyword] ?? first.error}`);
}

function pathOf({ instanceLocation }: OutputUnit, name: string): string {
  const fields = instanceLocation.split("/").slice(1);
  return [
    name,
    ...fields.map((field) => decodeURI(field).replaceAll("~1", "/").replaceAll("~0", "~").slice(0, 64)),
  ].join(".");
}

/** Compares the pairs of a list only if it is short enough; `maxItems`, which is checked too, refuses a longer one. */
function boundUniqueItems(schema: unknown): void {
  if (typeof schema !== "object" || schema === null) return;
  for (const child of Object.values(schema)) boundUniqueItems(child);
  const { uniqueItems, maxItems, allOf } = schema as Schema;
  if (uniqueItems !== true || typeof maxItems !== "number") return;
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  const unique = { if: { type: "array", maxItems }, then: { uniqueItems } };
  Object.assign(schema, { uniqueItems: false, allOf: [...(allOf ?? []), unique] });
}
