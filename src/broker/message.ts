/** Messages of errors, bounded before a guest reads them or the log keeps them. */
import { clip } from "../base/clip.ts";

/** Longest message of an error, UTF-16 units. */
export const MAX_MESSAGE = 1000;

export const messageOf = (error: unknown): string =>
  clip(error instanceof Error ? error.message : String(error), MAX_MESSAGE);
