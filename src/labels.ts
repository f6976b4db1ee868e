/** Labels: properties of data, such as `secret` or `untrusted`, which whoever reads the data takes on. */
import { VakError } from "./errors.ts";

/** Labels that something may have. Each decision in the log repeats all labels of the agent. */
export const MAX_LABELS = 64;

const LABEL = /^[A-Za-z0-9_.:-]{1,64}$/;

/** The union, as it is kept and logged: each label once, in order. */
export function joinLabels(sets: Iterable<readonly string[] | ReadonlySet<string>>): readonly string[] {
  const union = new Set<string>();
  for (const set of sets) for (const label of set) union.add(label);
  return Object.freeze([...union].sort());
}

/**
 * Checks labels that come from outside.
 *
 * @param whose completes `The labels of …` in the message
 * @throws VakError `invalid-argument`
 */
export function checkLabels(labels: unknown, whose: string): readonly string[] {
  const good = Array.isArray(labels) && labels.every((label) => typeof label === "string" && LABEL.test(label));
  if (good && labels.length <= MAX_LABELS) return joinLabels([labels]);
  throw new VakError(
    "invalid-argument",
    `The labels of ${whose} must be a list of at most ${MAX_LABELS} labels, each of 1 to 64 of A-Z a-z 0-9 _ . : -`,
  );
}

/** Whether a value is a list of at least one label as {@link joinLabels} returns it. */
export const areLabels = (value: unknown): value is string[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.length <= MAX_LABELS &&
  value.every((label, i) => typeof label === "string" && LABEL.test(label) && (i === 0 || value[i - 1] < label));
