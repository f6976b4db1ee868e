/** Where an execution differed from its recording. */
import { toUtf8 } from "../base/utf8.ts";

export interface Divergence {
  /** The id of the run: the one that was asked for, or one before it. */
  run: string;
  /** The number of the call at which it showed, from 1; null where it was not at a call. */
  call: number | null;
  /** Units of work done. */
  fuel: number;
  /** What was different: `input`, `fuel`, `stdout`, … */
  what: string;
  /** As it was recorded, and as it is now. */
  recorded: string;
  replayed: string;
  /** The first byte that differs, from 0, where two texts were compared. */
  byte?: number;
}

/** The first byte of their UTF-8 at which two texts differ. */
export function firstDifference(one: string, other: string): number {
  return commonBytes(toUtf8(one), toUtf8(other));
}

/** The length of the common beginning of two byte strings. */
export function commonBytes(one: Uint8Array, other: Uint8Array): number {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  return at;
}
