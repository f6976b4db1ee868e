/** The inputs and answers of calls. The log holds commitments to them; they themselves are files of its bundle. */
import { openBundle } from "../src/audit/index.ts";
import type { KernelLog } from "../src/index.ts";

const MAX_VALUE_BYTES = 2 ** 20;

/** Those values of the entries `seqs` that were not erased, by `seq`. */
export async function readValues(log: KernelLog, seqs: readonly number[]): Promise<Map<number, unknown>> {
  const bundle = await openBundle(await log.export());
  const values = new Map<number, unknown>();
  for (const seq of seqs) {
    const file = await bundle.read(`values/${seq}.json`, MAX_VALUE_BYTES);
    if (!file) continue;
    const content = JSON.parse(new TextDecoder().decode(file));
    values.set(seq, (content.input ?? content.output).value);
  }
  return values;
}

/** ms between two readings, at least. */
const PAUSE = 120;

/**
 * Keeps reading what is wanted. A bundle is of the whole log and so takes longer as that grows: most of the time
 * belongs to others.
 *
 * @returns to be called when there may be something to read
 */
export function keepReading(
  log: KernelLog,
  wanted: () => number[],
  show: (seq: number, value: unknown) => void,
): () => void {
  let busy = false;
  let again = false;
  const read = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    const began = performance.now();
    try {
      const seqs = wanted();
      if (seqs.length) for (const [seq, value] of await readValues(log, seqs)) show(seq, value);
    } catch {} // a log that has failed says so in the banner; the rows then stay without values
    await new Promise((done) => setTimeout(done, Math.max(PAUSE, 4 * (performance.now() - began))));
    busy = false;
    if (again) void read();
  };
  return () => void read();
}
