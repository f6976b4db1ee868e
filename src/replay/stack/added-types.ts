/** Function types that a capturable module needs besides its own, each added once. */

import * as Type from "../../wasm/type.ts";
import { Writer } from "../../wasm/writer.ts";
import type { Types } from "./value.ts";

export class AddedTypes {
  readonly #first: number;
  readonly #bytes: number[][] = [];
  readonly #indices = new Map<string, number>();

  /** @param first the index of the first type that is added */
  constructor(first: number) {
    this.#first = first;
  }

  get count(): number {
    return this.#bytes.length;
  }

  written(): number[] {
    return this.#bytes.flat();
  }

  indexOf(params: Types, results: Types): number {
    const key = `${params.join()};${results.join()}`;
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    const type = new Writer().byte(Type.func).vector(params.length, params).vector(results.length, results);
    const index = this.#first + this.#bytes.push([...type.written()]) - 1;
    this.#indices.set(key, index);
    return index;
  }
}
