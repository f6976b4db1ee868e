/** What a log says of itself when it is signed by none of the keys that were given. */
import { CHECKPOINT_PATH, KEYS_PATH } from "../audit/bundle.ts";
import { type Bundle, formatVkey, parseCheckpoint, parseNote, verifyNote } from "../audit/index.ts";
import { MAX_KEYS_BYTES, MAX_NOTE_BYTES, parseKeys } from "../audit/verification/keys.ts";
import { VakError } from "../errors.ts";

export interface Claim {
  origin: string;
  /** Keys (vkey) in the bundle that signed its checkpoint. */
  signers: string[];
}

/** The bundle's origin, and who signed it, as its own files have it; undefined when none of its keys did. */
export async function claimOf(bundle: Bundle): Promise<Claim | undefined> {
  const read = async (path: string, most: number) => (await bundle.read(path, most)) ?? new Uint8Array();
  try {
    const note = parseNote(await read(CHECKPOINT_PATH, MAX_NOTE_BYTES));
    const { origin } = parseCheckpoint(note.text);
    const keys = parseKeys(await read(KEYS_PATH, MAX_KEYS_BYTES));
    const signed = await verifyNote(note, keys);
    const signers = signed.filter(({ name }) => name === origin).map(formatVkey);
    return signers.length > 0 ? { origin, signers } : undefined;
  } catch (error) {
    if (!(error instanceof VakError)) throw error;
    return undefined;
  }
}
