/** Labels: what is said of data, such as `secret` or `untrusted`, and so of whoever has read it. */
import { VakError } from "./errors.ts";

/** Labels that something may have. All of an agent's stand in each of its decisions in the log. */
export const MAX_LABELS = 64;

const LABEL = /^[A-Za-z0-9_.:-]{1,64}$/;

/** Labels as they are kept and logged: each once, in order. */
export const joinLabels = (...sets: Iterable<string>[]): readonly string[] =>
  Object.freeze([...new Set(sets.flatMap((set) => [...set]))].sort());

/**
 * Reads labels that somebody gives.
 *
 * @param whose names it in the message, as in `The labels of …`
 * @throws VakError `invalid-argument`
 */
export function checkLabels(labels: unknown, whose: string): readonly string[] {
  const good = Array.isArray(labels) && labels.every((label) => typeof label === "string" && LABEL.test(label));
  if (good && labels.length <= MAX_LABELS) return joinLabels(labels);
  throw new VakError(
    "invalid-argument",
    `The labels of ${whose} are a list of at most ${MAX_LABELS}, each of 1 to 64 of A-Z a-z 0-9 _ . : -`,
  );
}

/** Whether a value is what {@link joinLabels} gives of at least one label. */
export const areLabels = (value: unknown): value is string[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.length <= MAX_LABELS &&
  value.every((label, i) => typeof label === "string" && LABEL.test(label) && (i === 0 || value[i - 1] < label));
