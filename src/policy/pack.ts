/** Reads a policy as a user gives it: Cedar text, or a policy pack (policies, entity types, entities and tests). */
import { canonicalJson } from "../base/canonical.ts";
import { isObject } from "../base/guards.ts";
import { sha256Hex } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import type { PolicyEntity, PolicyPack, PolicySource, PolicyTest } from "./engine.ts";
import { checkTest } from "./pack-tests.ts";
import { refused } from "./refused.ts";

/** A policy source that was read: its parts, and the one text that represents all of it. */
export interface ReadSource {
  /** What is hashed and kept: the Cedar text as it was given, or the pack in canonical JSON. */
  text: string;
  digest: string;
  policies: string;
  schema: string | { readonly [namespace: string]: unknown } | undefined;
  entities: readonly PolicyEntity[];
  tests: readonly PolicyTest[];
}

/** Bytes of a pack in canonical JSON. */
export const MAX_PACK_BYTES = 1024 * 1024;
export const MAX_ENTITIES = 1000;
export const MAX_TESTS = 1000;

const FIELDS = ["policies", "schema", "entities", "tests"];

/**
 * Reads Cedar text or a policy pack. A pack is copied: later changes to it have no effect.
 *
 * @throws VakError `invalid-policy` when it is neither
 */
export function readSource(source: PolicySource): ReadSource {
  if (typeof source === "string") return read({ policies: source }, source);
  let text: string;
  let pack: PolicyPack;
  try {
    text = canonicalJson(source);
    pack = JSON.parse(text);
  } catch (cause) {
    throw refused("it is neither Cedar text nor a policy pack of plain JSON", cause);
  }
  if (!isObject(pack)) throw refused("it is neither Cedar text nor a policy pack");
  const stray = Object.keys(pack).find((field) => !FIELDS.includes(field));
  if (stray !== undefined) {
    throw refused(`it has an unknown field ${JSON.stringify(stray)}; the fields are ${FIELDS.join(", ")}`);
  }
  const bytes = toUtf8(text).length;
  if (bytes > MAX_PACK_BYTES) throw refused(`it has ${bytes} bytes; the limit is ${MAX_PACK_BYTES}`);
  return read(pack, text);
}

/** Reads what {@link ReadSource.text} holds. */
export function readText(text: string): ReadSource {
  // Cedar text cannot begin with a brace, and canonical JSON of an object begins with nothing else.
  return readSource(text.startsWith("{") ? JSON.parse(text) : text);
}

function read({ policies, schema, entities = [], tests = [] }: PolicyPack, text: string): ReadSource {
  if (typeof policies !== "string") throw refused("its policies are not Cedar text");
  if (schema !== undefined && typeof schema !== "string" && !isObject(schema)) {
    throw refused("its schema is neither text nor an object");
  }
  if (!Array.isArray(entities) || entities.length > MAX_ENTITIES) {
    throw refused(`its entities are not a list of at most ${MAX_ENTITIES}`);
  }
  if (!Array.isArray(tests) || tests.length > MAX_TESTS) {
    throw refused(`its tests are not a list of at most ${MAX_TESTS}`);
  }
  tests.forEach(checkTest);
  return { text, digest: sha256Hex(toUtf8(text)), policies, schema, entities, tests };
}
