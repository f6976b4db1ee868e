/** A stretch of a text. */

/** From where to where, in UTF-16 units. */
export type Span = readonly [start: number, end: number];
