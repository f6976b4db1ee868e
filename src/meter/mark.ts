/** Tables by opcode, filled by ranges. */

export const opcodes = (): Uint8Array => new Uint8Array(256);

/** Gives every entry in `ranges` the value; each range is a first and a last opcode. */
export function mark(entries: Uint8Array, value: number, ...ranges: number[]): void {
  for (let n = 0; n < ranges.length; n += 2) entries.fill(value, ranges[n], ranges[n + 1]! + 1);
}
