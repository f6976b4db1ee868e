/** Cuts text short. */

/** The beginning of a text, at most `length` UTF-16 units, well-formed. */
export const clip = (text: string, length: number): string => text.slice(0, length).toWellFormed();
