/** Entries about the log itself. */
import { count, flag, oneOf, orNull, text, type ValueOf } from "../fields.ts";
import { type EntryOf, entry } from "./common.ts";

/** Who holds the key: WebCrypto, this library, or the caller. */
export type SignerKind = ValueOf<typeof signer>;
const signer = oneOf("webcrypto", "noble", "custom");

/** Always the first entry, and only the first. */
export interface LogOpen extends EntryOf<typeof logOpen> {}
export const logOpen = entry("log-open", {
  origin: text,
  /** The key that signs the checkpoints. */
  vkey: text,
  signer,
  /** Whether scripts of the page could read the secret key; null where only its owner knows. */
  extractable: orNull(flag),
});

/** Another key signs from here on. A checkpoint of exactly this size is signed by both. */
export interface KeyRotation extends EntryOf<typeof keyRotation> {}
export const keyRotation = entry("key-rotation", {
  /** The key that signed until now. */
  previous: text,
  vkey: text,
  signer,
  extractable: orNull(flag),
});

/**
 * The log was opened again after a session that did not close it. The open intents have just been closed as `unknown`;
 * this entry ends every run and closes every agent that is still open.
 */
export interface Recovery extends EntryOf<typeof recovery> {}
export const recovery = entry("recovery", {
  /** How many of each were open. */
  intents: count,
  runs: count,
  agents: count,
});

/** A private value was deleted, by whoever holds the log. */
export interface Erase extends EntryOf<typeof erase> {}
export const erase = entry("erase", {
  /** `seq` of the entry whose value it was. */
  erases: count,
});
