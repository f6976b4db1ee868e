/** What a log says of itself when it is signed by none of the keys that were given. */
import { CHECKPOINT_PATH, KEYS_PATH } from "../audit/bundle.ts";
import { type Bundle, formatVkey, parseCheckpoint, parseNote, parseVkey, verifyNote } from "../audit/index.ts";
import { VakError } from "../errors.ts";

/** The problem that `verify` then reports. */
export const NO_KNOWN_KEY = "No signature is by a known key.";

export interface Claim {
  origin: string;
  /** Keys (vkey) in the bundle that signed its checkpoint. */
  signers: string[];
}

const MAX_BYTES = 1_000_000;

/** The bundle's origin, and who signed it, as its own files have it; undefined when none of its keys did. */
export async function claimOf(bundle: Bundle): Promise<Claim | undefined> {
  const read = async (path: string) => (await bundle.read(path, MAX_BYTES)) ?? new Uint8Array();
  try {
    const note = parseNote(await read(CHECKPOINT_PATH));
    const { origin } = parseCheckpoint(note.text);
    const keys = new TextDecoder()
      .decode(await read(KEYS_PATH))
      .trimEnd()
      .split("\n")
      .map(parseVkey);
    const signed = await verifyNote(note, keys);
    const signers = signed.filter(({ cosigns, name }) => !cosigns && name === origin).map(formatVkey);
    return signers.length > 0 ? { origin, signers } : undefined;
  } catch (error) {
    if (!(error instanceof VakError)) throw error;
    return undefined;
  }
}
