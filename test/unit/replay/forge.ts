/** Changes what a log recorded, as its own writer could. */
import { commitValue } from "../../../src/audit/value.ts";
import type { Step } from "../audit/memory-log.ts";

/** The entries of a run's calls, and its end, among the steps of a log. */
export const placesOf = (steps: Step[], run: string, type: string): number[] =>
  steps.flatMap(([draft], i) => ("run" in draft && draft.run === run && draft.type === type ? [i] : []));

export function patch(steps: Step[], at: number, fields: object): void {
  const [draft, attached = {}] = steps[at]!;
  steps[at] = [{ ...draft, ...fields } as Step[0], attached];
}

/** Changes the value of a step, and what the step's entry says about it. */
export function change(steps: Step[], at: number, edit: (value: never) => unknown): void {
  const [draft, { commitment, output } = {}] = steps[at]!;
  if (!commitment) {
    steps[at] = [draft, { output: edit(output as never) }];
    return;
  }
  const { value } = JSON.parse(new TextDecoder().decode(commitment.file))[commitment.kind];
  steps[at] = [draft, { commitment: commitValue(commitment.kind, edit(value as never)) }];
}

export interface RawTrace {
  changes: { path: string; data: string | null }[];
  calls: [fuel: number, bytes: number, answer: unknown][];
  readings: number[];
  files: string;
  fuel: number;
  stop: { at: string; systemCalls: number; fuel: number } | null;
  answer?: unknown;
  stdout: { bytes: number; digest: string };
}
