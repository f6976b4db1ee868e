/** The inputs and answers of calls. The log holds commitments to them; the values are files of its bundle. */
import { openBundle } from "../src/audit/index.ts";
import type { KernelLog } from "../src/index.ts";

const MAX_VALUE_BYTES = 2 ** 20;

/** The values of the entries `seqs`, by `seq`, except erased ones. */
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

/** The shortest time between two readings, ms. */
const PAUSE = 120;

/**
 * Keeps reading the values that are wanted. A bundle has the whole log, so reading takes longer as the log grows. The
 * pauses leave most of the time to other work.
 *
 * @returns a function to call when there may be something to read
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
    } catch {} // the banner reports a log that has failed; the rows then stay without values
    await new Promise((done) => setTimeout(done, Math.max(PAUSE, 4 * (performance.now() - began))));
    busy = false;
    if (again) void read();
  };
  return () => void read();
}
