/** Checks values against a schema that vak has read, by `@cfworker/json-schema`, in bounded time. */
import { dereference, type Schema, validate } from "@cfworker/json-schema";
import { clip } from "../base/clip.ts";
import { hasSecrets, type JsonSchema, onlyKnownKeywords } from "./schema.ts";
import { secretsOf } from "./secrets.ts";

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
  const copy = structuredClone(onlyKnownKeywords(schema, forLibrary)) as Schema; // the library marks the schema it reads
  delete copy.$id; // `#/…` means the same without
  const lookup = dereference(copy);
  const secrets = hasSecrets(schema) ? (value: unknown) => secretsOf(schema, value) : () => [];
  return (value, name) => check(copy, lookup, secrets, value, name);
}

function check(
  schema: Schema,
  lookup: ReturnType<typeof dereference>,
  secrets: (value: unknown) => string[],
  value: unknown,
  name: string,
): void {
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
  // The library quotes numbers and names, and the log keeps the message.
  const pointer = decodeURI(first.instanceLocation.slice(1));
  const secret = secrets(value).find((at) => `${pointer}/`.startsWith(`${at}/`));
  if (secret !== undefined) throw new Error(`${pathOf(secret, name)}: this secret is not valid`);
  throw new Error(`${pathOf(pointer, name)}: ${ERRORS[first.keyword] ?? first.error}`);
}

function pathOf(pointer: string, name: string): string {
  const fields = pointer.split("/").slice(1);
  return [name, ...fields.map((field) => clip(field.replaceAll("~1", "/").replaceAll("~0", "~"), 64))].join(".");
}

/** Changes one schema, without those in it, to what the library can read safely. */
function forLibrary(schema: Record<string, unknown>): void {
  // It would take a property that all objects inherit for the check of a format.
  if (typeof schema.format === "string" && schema.format in Object.prototype) delete schema.format;
  boundUniqueItems(schema);
}

/** Compares the pairs of a list only if it is short enough; `maxItems`, which is checked too, refuses a longer one. */
function boundUniqueItems(schema: Schema): void {
  const { uniqueItems, maxItems, allOf } = schema as Schema;
  if (uniqueItems !== true || typeof maxItems !== "number") return;
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  const unique = { if: { type: "array", maxItems }, then: { uniqueItems } };
  Object.assign(schema, { uniqueItems: false, allOf: [...(allOf ?? []), unique] });
}
