/** The page's changes to an agent's files, applied again where they were recorded. */
import type { Change } from "../protocol/trace.ts";
import type { Volume } from "../sandbox/fs/volume.ts";
import { Errno } from "../sandbox/preview1/errno.ts";

/** What was refused then is refused again. */
export function applyChange(volume: Volume, { path, data }: Change): void {
  try {
    if (data) volume.seed(path, data);
    else volume.remove(path);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
  }
}
