/** Deletes private values from a log's database, in the transaction that commits the `erase` entries. */

import type { Writing } from "./database.ts";
import { type PackedEntries, packValues, type Value } from "./records.ts";
import { unpackValues, valuesWith } from "./unpacking.ts";

/** Rewrites the records that hold these values, one after the other, without them. */
export async function eraseValues(transaction: Writing, seqs: readonly number[]): Promise<void> {
  for (const seq of seqs) {
    const without = (values: Value[]) => values.filter((value) => value.seq !== seq);
    const upTo = IDBKeyRange.upperBound(seq);
    const entries = await transaction.objectStore("entries").openCursor(upTo, "prev");
    if (entries) {
      const record = entries.value as PackedEntries;
      const small = valuesWith(record);
      const left = without(small);
      if (left.length < small.length) await entries.update({ ...record, values: packValues(left) } as PackedEntries);
    }
    const values = await transaction.objectStore("values").openCursor(upTo, "prev");
    if (values) {
      const large = unpackValues(values.value);
      const left = without(large);
      if (left.length === 0) await values.delete();
      else if (left.length < large.length) await values.update(packValues(left));
    }
  }
}
