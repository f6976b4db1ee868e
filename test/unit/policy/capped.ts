/** Limits the memory of Cedar's wasm, so that it really traps on a large request. */

/** Only the memory section changes (id 5: one memory, no maximum). */
export function capMemory(wasm: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  let at = 8;
  while (at < wasm.length) {
    const section = wasm[at];
    let size = 0;
    let next = at + 1;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[next++]!;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (section === 5) {
      const [count, flags, minimum] = wasm.subarray(next, next + size);
      if (size !== 3 || count !== 1 || flags !== 0 || minimum! > 127 || pages < 128 || pages > 16_383) {
        throw new Error("the memory section is not as expected");
      }
      const section = [5, 5, 1, 1, minimum!, (pages & 0x7f) | 0x80, pages >> 7];
      return new Uint8Array([...wasm.subarray(0, at), ...section, ...wasm.subarray(next + size)]);
    }
    at = next + size;
  }
  throw new Error("there is no memory section");
}
