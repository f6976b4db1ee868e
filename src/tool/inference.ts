/** The TypeScript type of a tool's input, inferred from its schema: a JSON Schema literal or a Standard Schema. */
import type { StandardSchema } from "./standard.ts";

/** The type of the values that a JSON Schema literal describes; `unknown` where it does not say. */
export type FromSchema<S> = S extends { readonly const: infer C }
  ? C
  : S extends { readonly enum: readonly (infer E)[] }
    ? E
    : S extends { readonly type: "string" }
      ? string
      : S extends { readonly type: "number" | "integer" }
        ? number
        : S extends { readonly type: "boolean" }
          ? boolean
          : S extends { readonly type: "array" }
            ? readonly (S extends { readonly items: infer I } ? FromSchema<I> : unknown)[]
            : S extends { readonly type: "object"; readonly properties: infer P }
              ? FromProperties<P, S extends { readonly required: readonly (infer R)[] } ? R : never>
              : S extends { readonly type: "object" }
                ? { readonly [field: string]: unknown }
                : unknown;

type FromProperties<P, R> = Flat<
  { readonly [K in keyof P as K extends R ? K : never]: FromSchema<P[K]> } & {
    readonly [K in keyof P as K extends R ? never : K]?: FromSchema<P[K]>;
  }
>;
type Flat<T> = { [K in keyof T]: T[K] };

/** The type of a tool's input, from its schema. */
export type InputOf<S> = S extends StandardSchema<infer Output> ? Output : FromSchema<S>;
