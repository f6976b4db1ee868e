/** The errors of `fetchTool`: options that are not valid, and requests that fail for a reason the guest may read. */
import { VakError } from "../errors.ts";

export const invalid = (what: string): VakError => new VakError("invalid-argument", `fetchTool: ${what}.`);

/** Why a request failed, in words for the guest: nothing else about a failure reaches it. */
export class Refused extends Error {}
