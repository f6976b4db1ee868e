/** Bounds of what the kernel writes into the log. */

/** Longest message of a refused spawn or policy in the log, UTF-16 units. */
export const MAX_REFUSAL = 2000;
