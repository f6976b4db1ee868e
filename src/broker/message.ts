/** Messages of errors, bounded before a guest reads them or the log keeps them. */
import { clip } from "../base/clip.ts";
import { errorText } from "../base/error-text.ts";

/** Longest message of an error, UTF-16 units. */
export const MAX_MESSAGE = 1000;

export const messageOf = (error: unknown): string => clip(errorText(error), MAX_MESSAGE);
