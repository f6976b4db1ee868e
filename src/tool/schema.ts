/**
 * What vak admits of JSON Schema (draft 2020-12) as the schema of a tool: `readSchema` checks each keyword and gives a
 * copy in which objects that list their properties are closed.
 */
import { clip } from "../base/clip.ts";
import { isCount, isObject } from "../base/guards.ts";
import { stepOf } from "../base/pointer.ts";
import { VakError } from "../errors.ts";

/** A JSON Schema, draft 2020-12. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** Limits of a tool's schema: bytes as JSON, and levels of nesting. */
const MAX_SCHEMA_BYTES = 64 * 1024;
const MAX_SCHEMA_DEPTH = 64;
/** Items of a list whose items must differ: the validator compares every pair. */
const MAX_UNIQUE_ITEMS = 100;
/** Characters of a schema's text that a message quotes. */
const MAX_QUOTED = 200;

/** Names that no field may have: Cedar's escapes for entities and extension values, and JavaScript's for prototypes. */
export const RESERVED: ReadonlySet<string> = new Set(["__entity", "__extn", "__expr", "__proto__"]);

/** What the value of a keyword must be, and how a message says so. */
interface Kind {
  readonly what: string;
  is(value: unknown): boolean;
}

const TYPES = new Set(["string", "number", "integer", "boolean", "array", "object", "null"]);
const isFlag = (value: unknown): boolean => typeof value === "boolean";
const isNames = (value: unknown): boolean => Array.isArray(value) && value.every((name) => typeof name === "string");
const isObjectOf = (value: unknown, is: (item: unknown) => boolean): boolean =>
  isObject(value) && Object.values(value).every(is);

const SCHEMA: Kind = { what: "a schema: an object, true or false", is: (value) => isObject(value) || isFlag(value) };
const SCHEMAS: Kind = { what: "a list of schemas", is: Array.isArray };
const NAMED_SCHEMAS: Kind = { what: "an object of schemas", is: isObject };

/**
 * Every keyword of draft 2020-12 that the validator gets, and `definitions`, the older name of `$defs`. Those that only
 * annotate (`title`, `description`, `default`, `examples`, `deprecated`, `$comment`) are not among them: servers give
 * them values of any type, and no check depends on them.
 */
const KEYWORDS: ReadonlyMap<string, Kind> = new Map(
  (
    [
      ["not if then else items contains additionalProperties propertyNames", SCHEMA],
      ["unevaluatedItems unevaluatedProperties contentSchema", SCHEMA],
      ["allOf anyOf oneOf prefixItems", SCHEMAS],
      ["$defs definitions properties patternProperties dependentSchemas", NAMED_SCHEMAS],
      // Only to where subschemas are read: what else a pointer could name has not been checked.
      ["$ref", { what: "#, #/$defs/… or #/properties/…, percent-encoded; nothing is fetched", is: isLocalRef }],
      ["type", { what: `one or more of ${[...TYPES].join(", ")}`, is: isType }],
      ["const", { what: "any JSON", is: () => true }],
      ["enum", { what: "a list", is: Array.isArray }],
      ["required", { what: "a list of property names", is: isNames }],
      [
        "dependentRequired",
        { what: "an object of lists of property names", is: (value) => isObjectOf(value, isNames) },
      ],
      ["pattern", { what: "a regular expression", is: isPattern }],
      ["multipleOf", { what: "a number above 0", is: (value) => typeof value === "number" && value > 0 }],
      [
        "minimum exclusiveMinimum maximum exclusiveMaximum",
        { what: "a number", is: (value) => typeof value === "number" },
      ],
      [
        "minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties",
        { what: "a whole number, 0 or more", is: isCount },
      ],
      ["uniqueItems writeOnly readOnly", { what: "true or false", is: isFlag }],
      ["$vocabulary", { what: "an object of true and false", is: (value) => isObjectOf(value, isFlag) }],
      [
        "$schema $id format contentEncoding contentMediaType",
        { what: "a string", is: (value) => typeof value === "string" },
      ],
    ] satisfies [string, Kind][]
  ).flatMap(([names, kind]) => names.split(" ").map((name) => [name, kind])),
);

/** Keywords of other drafts, and those that change what `$ref` points to. */
const REFUSED = [
  ...["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"],
  ...["additionalItems", "dependencies"],
];
/** Keywords that say what properties other than the listed ones may be. */
const OPENING = ["additionalProperties", "unevaluatedProperties", "patternProperties"];
/** Keywords through which another schema describes the same value: an object beside one of them cannot be closed. */
const COMPOSING = ["$ref", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas"];
/** Keywords whose schemas describe values inside the one that the schema around them describes. */
const INNER = ["properties", "patternProperties", "prefixItems", "items", "additionalProperties"];
/** Keywords whose schemas describe the same value as the schema around them. */
const SAME = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];

/**
 * A checked copy of a schema for an object, with its objects closed.
 *
 * @param where names the schema in messages
 * @throws VakError `invalid-tool` naming the place and the keyword that is wrong
 */
export function readSchema(where: string, given: unknown): JsonSchema {
  let text: string | undefined;
  let schema: unknown;
  try {
    text = JSON.stringify(given);
    schema = JSON.parse(text);
  } catch (cause) {
    throw invalidTool(`${where} is not JSON.`, cause);
  }
  if (text.length > MAX_SCHEMA_BYTES) throw invalidTool(`${where} is larger than ${MAX_SCHEMA_BYTES} bytes.`);
  if (!isObject(schema) || schema.type !== "object") throw invalidTool(`${where} must say type: "object".`);
  if (isDeeperThan(schema, MAX_SCHEMA_DEPTH)) {
    throw invalidTool(`${where} is nested more than ${MAX_SCHEMA_DEPTH} levels deep.`);
  }
  readSubschema(schema, where, "", true);
  followRefs(schema, schema, where, new Map());
  return schema;
}

/**
 * The schema that `#`, `#/$defs/…` or `#/properties/…` points to; undefined where there is none. It finds what the
 * validator finds: {@link readSchema} refuses the spellings that the two would read differently.
 */
export function schemaAt(ref: string, root: JsonSchema): JsonSchema | boolean | undefined {
  let found: unknown = root;
  const steps = ref.split("/").slice(1).map(stepOf);
  for (let at = 0; at < steps.length; at += 2) {
    const map = isObject(found) ? found[steps[at]!] : undefined;
    const name = steps[at + 1];
    found = isObject(map) && name !== undefined && Object.hasOwn(map, name) ? map[name] : undefined;
  }
  return isObject(found) || typeof found === "boolean" ? found : undefined;
}

/**
 * A copy of a schema that was read, with nothing but the keywords that were checked. The validator looks for schemas
 * and references in keywords that it does not know, too, and lets some of its own be set from outside.
 *
 * @param change changes the copy of each schema in it
 */
export function onlyKnownKeywords(
  schema: JsonSchema,
  change: (copy: Record<string, unknown>) => void = () => {},
): JsonSchema {
  const copy: Record<string, unknown> = {};
  for (const [keyword, value] of Object.entries(schema)) {
    const kind = KEYWORDS.get(keyword);
    if (kind)
      copy[keyword] = mapSchemas(kind, value, (child) => (isObject(child) ? onlyKnownKeywords(child, change) : child));
  }
  change(copy);
  return copy;
}

/** Whether a schema may mark a value as a secret; most mark none. */
export const hasSecrets = (schema: JsonSchema): boolean => JSON.stringify(schema).includes('"writeOnly":true');

/** A keyword's value with each schema in it replaced. */
function mapSchemas(kind: Kind, value: unknown, replace: (schema: unknown) => unknown): unknown {
  if (kind === SCHEMA) return replace(value);
  if (kind === SCHEMAS) return (value as unknown[]).map(replace);
  if (kind !== NAMED_SCHEMAS) return value;
  return Object.fromEntries(Object.entries(value as object).map(([name, child]) => [name, replace(child)]));
}

/** @param closable whether this schema alone says which properties its value may have */
function readSubschema(schema: unknown, where: string, path: string, closable: boolean): void {
  const at = path === "" ? where : `${where} at ${path.slice(1)}`;
  if (typeof schema === "boolean") return;
  if (!isObject(schema)) throw invalidTool(`${at} must be ${SCHEMA.what}.`);
  if (schema.$id !== undefined && path !== "") throw invalidTool(`${at} has an $id; only the root may have one.`);
  delete schema.id; // $id in older drafts, which the validator would go by
  const refused = REFUSED.find((keyword) => schema[keyword] !== undefined);
  if (refused) {
    throw invalidTool(`${at} uses ${refused}, which vak does not support; use $defs and #/… references instead.`);
  }
  for (const [keyword, value] of Object.entries(schema)) {
    const kind = KEYWORDS.get(keyword);
    if (kind && !kind.is(value)) throw invalidTool(`${at}: ${keyword} must be ${kind.what}, not ${quoted(value)}.`);
  }

  const { type, required, properties, patternProperties, uniqueItems, maxItems } = schema;
  if (uniqueItems === true && !(isCount(maxItems) && maxItems <= MAX_UNIQUE_ITEMS)) {
    throw invalidTool(
      `${at} has uniqueItems, for which every pair is compared: add a maxItems of at most ${MAX_UNIQUE_ITEMS}.`,
    );
  }
  const pattern = Object.keys(patternProperties ?? {}).find((source) => !isPattern(source));
  if (pattern !== undefined) {
    throw invalidTool(`${at}: patternProperties has ${quoted(pattern)}, which is not a regular expression.`);
  }
  const reserved = Object.keys(properties ?? {}).find((name) => RESERVED.has(name));
  if (reserved !== undefined) throw invalidTool(`${at} has a property ${reserved}, which is a reserved name.`);

  const alone = closable && COMPOSING.every((keyword) => schema[keyword] === undefined);
  for (const [keyword, value] of Object.entries(schema)) {
    const kind = KEYWORDS.get(keyword);
    const inner = alone && INNER.includes(keyword);
    if (kind === SCHEMA) readSubschema(value, where, `${path}/${keyword}`, inner);
    if (kind !== SCHEMAS && kind !== NAMED_SCHEMAS) continue;
    for (const [name, child] of Object.entries(value as object)) {
      if (!name.isWellFormed()) throw invalidTool(`${at}: ${keyword} has a name with half of a surrogate pair in it.`);
      readSubschema(child, where, `${path}/${keyword}/${clip(name, MAX_QUOTED)}`, inner);
    }
  }

  if (alone && type === "object" && isObject(properties) && OPENING.every((keyword) => schema[keyword] === undefined)) {
    const missing = ((required ?? []) as string[]).find((name) => !Object.hasOwn(properties, name));
    if (missing !== undefined) throw invalidTool(`${at} requires ${quoted(missing)} but does not declare it.`);
    schema.additionalProperties = false;
  }
}

function isType(value: unknown): boolean {
  const names: unknown[] = Array.isArray(value) ? value : [value];
  return names.length > 0 && names.every((name) => typeof name === "string" && TYPES.has(name));
}

function isPattern(value: unknown): boolean {
  try {
    return typeof value === "string" && new RegExp(value, "u") !== undefined;
  } catch {
    return false;
  }
}

/**
 * Whether the validator and {@link schemaAt} find the same by it. The validator reads a reference as a URL, which drops
 * control characters and spaces at its end, and takes a `%` that encodes nothing for itself.
 */
function isLocalRef(value: unknown): boolean {
  if (typeof value !== "string" || !/^#(\/(\$defs|properties)\/[^/]+)*$/.test(value)) return false;
  if (/\p{Cc}|\s$/u.test(value) || !value.isWellFormed()) return false;
  try {
    return decodeURIComponent(value) !== undefined;
  } catch {
    return false;
  }
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeperThan(item, levels - 1));
}

/**
 * Refuses a `$ref` of the root, or of a schema that describes the same value, that leads nowhere or back to itself.
 *
 * @param seen whether a schema has been followed to its end
 */
function followRefs(schema: unknown, root: JsonSchema, where: string, seen: Map<unknown, boolean>): void {
  if (!isObject(schema) || seen.get(schema)) return;
  if (seen.has(schema)) throw invalidTool(`${where} has a $ref that leads back to itself.`);
  seen.set(schema, false);
  const { $ref } = schema;
  if (typeof $ref === "string") {
    const target = schemaAt($ref, root);
    if (target === undefined) throw invalidTool(`${where}: $ref ${quoted($ref)} points to nothing.`);
    followRefs(target, root, where, seen);
  }
  for (const keyword of SAME) {
    for (const child of [schema[keyword]].flat()) followRefs(child, root, where, seen);
  }
  seen.set(schema, true);
}

/** JSON of a part of a schema, for a message. */
function quoted(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= MAX_QUOTED ? text : `${clip(text, MAX_QUOTED)}…`;
}

export function invalidTool(message: string, cause?: unknown): VakError {
  return new VakError("invalid-tool", message, { cause });
}
