/** A small schema language for entries of the log: checks of fields, from which the entries' types are inferred. */
import { isCount, isDigest, isObject } from "../base/guards.ts";

/** Says whether a value is a `T`. */
export type Check<T> = (value: unknown) => value is T;

/** A field that may be absent. */
export interface Optional<T> {
  readonly optional: Check<T>;
}

export type Fields = { readonly [name: string]: Check<unknown> | Optional<unknown> };

/** What a check accepts. */
export type ValueOf<C> = C extends Check<infer T> ? T : never;

/** An object that has these fields; the comments on the fields stay with them. */
export type ObjectOf<F> = Flat<Values<Pick<F, RequiredNames<F>>> & Partial<Values<Pick<F, OptionalNames<F>>>>>;

type Values<F> = { -readonly [K in keyof F]: F[K] extends Optional<infer T> ? T : ValueOf<F[K]> };
type OptionalNames<F> = { [K in keyof F]: F[K] extends Optional<unknown> ? K : never }[keyof F];
type RequiredNames<F> = Exclude<keyof F, OptionalNames<F>>;
/** One object type for an intersection, so that an editor lists the fields. */
export type Flat<T> = { [K in keyof T]: T[K] };

export const text: Check<string> = (value): value is string => typeof value === "string";
export const flag: Check<boolean> = (value): value is boolean => typeof value === "boolean";
export const integer: Check<number> = (value): value is number => Number.isSafeInteger(value);
/** A whole number from 0 to 2^53 − 1. */
export const count: Check<number> = isCount;
/** SHA-256 in lower-case hex. */
export const digest: Check<string> = isDigest;
export const anyObject: Check<{ readonly [name: string]: unknown }> = isObject;
export const texts: Check<string[]> = listOf(text);
export const counts: Check<Record<string, number>> = (value): value is Record<string, number> =>
  isObject(value) && Object.values(value).every(isCount);

export function optional<T>(check: Check<T>): Optional<T> {
  return { optional: check };
}

export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value): value is T | null => value === null || check(value);
}

export function oneOf<const T extends string | number | null>(...values: readonly T[]): Check<T> {
  return (value): value is T => values.includes(value as T);
}

export function listOf<T>(check: Check<T>, max: number = Number.POSITIVE_INFINITY): Check<T[]> {
  return (value): value is T[] => Array.isArray(value) && value.length <= max && value.every(check);
}

/** An object with these fields and no others. */
export function objectOf<F extends Fields>(fields: F): Check<ObjectOf<F>> {
  const fault = faultFinder(fields);
  return (value): value is ObjectOf<F> => isObject(value) && fault(value) === undefined;
}

/** A function that says what is wrong with an object that should have these fields and no others, if anything is. */
export function faultFinder(fields: Fields): (value: Record<string, unknown>) => string | undefined {
  const rules = Object.entries(fields).map(([name, field]) =>
    typeof field === "function" ? { name, check: field, required: true } : { name, check: field.optional },
  );
  return (value) => {
    let known = 0;
    for (const { name, check, required } of rules) {
      if (!Object.hasOwn(value, name)) {
        if (required) return `.${name} is missing`;
        continue;
      }
      known++;
      if (!check(value[name])) return `.${name} is not valid`;
    }
    const names = Object.keys(value);
    if (names.length === known) return undefined;
    return ` has no field ${JSON.stringify(names.find((name) => !Object.hasOwn(fields, name)))}`;
  };
}
