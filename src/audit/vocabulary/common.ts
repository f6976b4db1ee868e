/** What entries of every family share: how a type of entry is declared, the fields of all, and whom they are about. */
import { areLabels } from "../../labels.ts";
import { type Check, count, digest, type Fields, type Flat, type ObjectOf, objectOf, oneOf, text } from "../fields.ts";

export const common = {
  /** Version of this vocabulary. */
  v: oneOf(1),
  /** The leaf's index, from 0. */
  seq: count,
  /** Wall clock when it was appended, ms since 1970. Informative only: it proves nothing. */
  time: count,
};

/** The names of the fields that every entry has, and that the log fills in. */
export type CommonName = keyof typeof common;

/** Says what is wrong between fields that are each valid. */
export type Rule<F> = (entry: ObjectOf<F>) => string | undefined;

/** A type of entry. */
export interface Declaration<T extends string, F extends Fields> {
  readonly type: T;
  readonly fields: F;
  readonly rule: Rule<F> | undefined;
}

/** The entries of a declared type. */
export type EntryOf<D> =
  D extends Declaration<infer T, infer F> ? Flat<ObjectOf<typeof common> & { type: T } & ObjectOf<F>> : never;

/** Declares a type of entry by the fields that it has besides the common ones. */
export function entry<T extends string, F extends Fields>(type: T, fields: F, rule?: Rule<F>): Declaration<T, F> {
  return { type, fields, rule };
}

/** SHA-256, 64 lower-case hex digits. */
export type Digest = string;

/** A digest, or an empty text where there is nothing to hash. */
export const digestOrEmpty: Check<Digest | ""> = (value): value is Digest => value === "" || digest(value);

/** One label or more, each once, in order. */
export const labels: Check<string[]> = areLabels;

/** The principal that an entry is about. */
export interface AgentRef extends ObjectOf<typeof agentFields> {}
const agentFields = {
  name: text,
  /** Unique to this spawn. */
  id: text,
  /** SHA-256 of the program's bytes. */
  program: digest,
};
export const agent: Check<AgentRef> = objectOf(agentFields);
