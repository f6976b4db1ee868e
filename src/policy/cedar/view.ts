/** What a policy can see of a tool's calls: JSON Schema (2020-12) as Cedar's types, and input as Cedar's values. */
import type { CedarValueJson, SchemaJson, Type } from "@cedar-policy/cedar-wasm/web";
import { isObject } from "../../base/guards.ts";
import { stepOf } from "../../base/pointer.ts";
import { normalUrl, urlParts } from "../../base/url.ts";
import { GROUPS, type PolicyTool } from "../engine.ts";

/**
 * What a policy can see of a value: the part of a JSON Schema that has exactly one Cedar type. The same view provides
 * the types when a policy is validated and copies the input when a call is decided, so the two cannot disagree.
 */
export type View =
  | { readonly type: "String" | "Long" | "Boolean" | "decimal" | "datetime" }
  | { readonly type: "Set"; readonly element: View }
  | {
      readonly type: "Record";
      readonly fields: ReadonlyMap<string, Field>;
      /** The value is a string, a URL; the fields are its parts. */
      readonly url?: true;
    };

interface Field {
  readonly view: View;
  readonly required: boolean;
}

export interface ToolView {
  /** `context`: the tool's `input`, and the kernel's `vak`. */
  readonly context: View;
  /** The groups that its action is in: `call`, and some of {@link GROUPS}. */
  readonly groups: readonly string[];
  readonly hidden: readonly HiddenField[];
}

/** A declared field that a policy cannot see: a policy that names it is refused. */
export interface HiddenField {
  /** Such as `input.a.b`. */
  readonly path: string;
  readonly why: string;
}

type JsonSchema = { readonly [keyword: string]: unknown };

/** Levels of records and sets a policy can see. Cedar's JSON reader stops at 128 levels and its evaluator near 100. */
const MAX_LEVELS = 16;
/** A fraction Cedar can hold: its `decimal` has four digits after the point. */
const FOUR_DIGITS = /^-?\d+(\.\d{1,4})?$/;
const MAX_DECIMAL = 922_337_203_685_477;
/** Milliseconds to the end of the year 9999, the last that both ISO 8601 and Cedar write with four digits. */
const MAX_TIME = 253_402_300_799_999;

/** The attributes of a principal. */
export const AGENT = recordOf({ name: { type: "String" }, program: { type: "String" } });
const LONG = { type: "Long" } as const;
const BUDGET = recordOf({ used: LONG, left: LONG, limit: LONG });
const TEXT = { type: "String" } as const;
/** A string with `format: "http-url"`. On the whole URL, `like "https://*.example.com/*"` would match too much. */
const URL_PARTS: View = {
  ...recordOf({ href: TEXT, scheme: TEXT, host: TEXT, port: LONG, path: TEXT, query: TEXT }),
  url: true,
};

/** The facts of the kernel: `context.vak`. */
function viewVak(budgets: readonly string[], leaks: boolean): View {
  return recordOf({
    callDigest: { type: "String" },
    now: { type: "datetime" },
    calls: LONG,
    approved: { type: "Boolean" },
    labels: { type: "Set", element: TEXT },
    ...(leaks && { leaks: { type: "Set", element: TEXT } as const }),
    ...(budgets.length > 0 && { budget: recordOf(Object.fromEntries(budgets.map((name) => [name, BUDGET]))) }),
  });
}

/**
 * The view of one tool's calls.
 *
 * @param budgets names of the kernel's budgets
 */
export function viewTool(
  { inputSchema: root, groups = [], leaks }: PolicyTool,
  budgets: readonly string[] = [],
): ToolView {
  const hidden: HiddenField[] = [];
  const declared = isObject(root.properties) ? root : { ...root, properties: {} };
  const input = viewRecord(declared, root, "input", 0, hidden);
  return { context: recordOf({ input, vak: viewVak(budgets, Boolean(leaks)) }), groups: ["call", ...groups], hidden };
}

/** Every tool's action and the entities around it, as a Cedar schema. */
export function cedarSchema(views: ReadonlyMap<string, ToolView>): SchemaJson<string> {
  const actions = Object.fromEntries(
    [...views].map(([tool, { context, groups }]) => [
      `call:${tool}`,
      {
        memberOf: groups.map((id) => ({ id })),
        appliesTo: { principalTypes: ["Agent"], resourceTypes: ["Tool"], context: cedarType(context) },
      },
    ]),
  );
  const entityTypes = { Agent: { shape: cedarType(AGENT) }, Tool: {} };
  const groups = Object.fromEntries(GROUPS.map((group) => [group, {}]));
  return { "": { entityTypes, actions: { call: {}, ...groups, ...actions } } };
}

/**
 * Copies the part of a value that a view shows into Cedar's JSON.
 *
 * @throws Error naming a part that is not of the type in the tool's schema
 */
export function project(view: View, value: unknown, path = "context"): CedarValueJson {
  switch (view.type) {
    case "String":
      if (typeof value === "string") return value;
      break;
    case "Boolean":
      if (typeof value === "boolean") return value;
      break;
    case "Long":
      if (Number.isSafeInteger(value)) return value as number;
      break;
    case "decimal":
      if (typeof value === "number" && FOUR_DIGITS.test(String(value)) && Math.abs(value) <= MAX_DECIMAL) {
        return { __extn: { fn: "decimal", arg: Number.isInteger(value) ? `${value}.0` : String(value) } };
      }
      break;
    case "datetime":
      if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_TIME) {
        return { __extn: { fn: "datetime", arg: new Date(value).toISOString() } };
      }
      break;
    case "Set":
      if (Array.isArray(value)) return value.map((item, index) => project(view.element, item, `${path}[${index}]`));
      break;
    case "Record": {
      if (view.url && typeof value === "string") {
        if (normalUrl(value) !== value) throw new Error(`${path} is not a normalised URL`);
        return projectFields(view.fields, urlParts(value), path);
      }
      if (!view.url && isObject(value)) return projectFields(view.fields, value, path);
      break;
    }
  }
  throw new Error(`${path} is not a ${view.type} that Cedar can hold`);
}

function projectFields(fields: ReadonlyMap<string, Field>, value: JsonSchema, path: string): CedarValueJson {
  const copy: [string, CedarValueJson][] = [];
  for (const [name, field] of fields) {
    if (Object.hasOwn(value, name)) copy.push([name, project(field.view, value[name], `${path}.${name}`)]);
    else if (field.required) throw new Error(`${path}.${name} is missing`);
  }
  return Object.fromEntries(copy);
}

function cedarType(view: View): Type<string> {
  switch (view.type) {
    case "decimal":
    case "datetime":
      return { type: "Extension", name: view.type };
    case "Set":
      return { type: "Set", element: cedarType(view.element) };
    case "Record":
      return {
        type: "Record",
        attributes: Object.fromEntries(
          [...view.fields].map(([name, field]) => [name, { ...cedarType(field.view), required: field.required }]),
        ),
      };
    default:
      return { type: view.type };
  }
}

function recordOf(views: Readonly<Record<string, View>>): View & { type: "Record" } {
  const fields = Object.entries(views).map(([name, view]) => [name, { view, required: true }] as const);
  return { type: "Record", fields: new Map(fields) };
}

/** A view, or the reason why policies cannot see the value. */
function viewSchema(
  schema: unknown,
  root: JsonSchema,
  path: string,
  level: number,
  hidden: HiddenField[],
): View | string {
  if (level > MAX_LEVELS) return `nested more than ${MAX_LEVELS} levels deep`;
  const resolved = follow(schema, root);
  if (!resolved) return "its schema says nothing about its type";
  switch (typeName(resolved)) {
    case "string":
      return resolved.format === "http-url" ? URL_PARTS : TEXT;
    case "integer":
      return { type: "Long" };
    case "boolean":
      return { type: "Boolean" };
    case "number":
      return typeof resolved.multipleOf === "number" && FOUR_DIGITS.test(String(resolved.multipleOf))
        ? { type: "decimal" }
        : "a number has no exact Cedar type; give its precision (multipleOf: 0.01) or use an integer";
    case "array": {
      if (resolved.prefixItems !== undefined) return "a tuple has no Cedar type";
      const element = viewSchema(resolved.items, root, `${path}[]`, level + 1, hidden);
      return typeof element === "string" ? element : { type: "Set", element };
    }
    case "object":
      return isObject(resolved.properties)
        ? viewRecord(resolved, root, path, level, hidden)
        : "an object without declared properties";
    default:
      return "it may be of more than one type";
  }
}

function viewRecord(schema: JsonSchema, root: JsonSchema, path: string, level: number, hidden: HiddenField[]): View {
  const required = Array.isArray(schema.required) ? schema.required : [];
  const fields = new Map<string, Field>();
  for (const [name, property] of Object.entries(schema.properties as JsonSchema)) {
    const at = `${path}.${name}`;
    // Cedar's JSON uses `__entity`, `__extn` and `__expr` for what is not plain data.
    const view = name.startsWith("__") ? "its name is reserved" : viewSchema(property, root, at, level + 1, hidden);
    if (typeof view === "string") hidden.push({ path: at, why: view });
    else fields.set(name, { view, required: required.includes(name) });
  }
  return { type: "Record", fields };
}

/** The type of every value that the schema allows, if they all have the same. */
function typeName(schema: JsonSchema): string | undefined {
  const { type } = schema;
  if (typeof type === "string") return type;
  if (Array.isArray(type)) return type.length === 1 ? type[0] : undefined;
  const values = "const" in schema ? [schema.const] : Array.isArray(schema.enum) ? schema.enum : [];
  const types = new Set(values.map((value) => (Number.isSafeInteger(value) ? "integer" : typeof value)));
  const [only] = types;
  return types.size === 1 && (only === "string" || only === "integer" || only === "boolean") ? only : undefined;
}

/** The schema behind a chain of local `$ref`s (`#/$defs/x`). */
function follow(schema: unknown, root: JsonSchema): JsonSchema | undefined {
  let at = schema;
  for (let step = 0; step < MAX_LEVELS && isContainer(at); step++) {
    if (typeof at.$ref !== "string") return at;
    if (!at.$ref.startsWith("#")) return undefined;
    let target: unknown = root;
    for (const token of at.$ref.split("/").slice(1)) {
      const key = stepOf(token);
      target = isContainer(target) && Object.hasOwn(target, key) ? target[key] : undefined;
    }
    at = target;
  }
  return undefined;
}

/** An object or an array: a pointer can lead through both. */
function isContainer(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null;
}
