/** Entries about policies, and the permits that are leased beside them. */
import { count, digest, optional, orNull, text, texts } from "../fields.ts";
import { agent, type EntryOf, entry } from "./common.ts";

/** From here on another policy is in force. */
export interface PolicyLoad extends EntryOf<typeof policyLoad> {}
export const policyLoad = entry("policy-load", {
  /** SHA-256 of the policy's text, which the bundle holds as `policies/<digest>.cedar`. */
  policyDigest: digest,
  /** The policy that this one replaces; null for the log's first. */
  previous: orNull(digest),
  /** Ids of the policies in it. */
  policies: texts,
  /** SHA-256 of what the policy is based on, the tools and their schemas; `policies/<digest>.json` in the bundle. */
  baseDigest: optional(digest),
});

/** A policy did not parse or validate; the old one stays in force. */
export interface PolicyRefused extends EntryOf<typeof policyRefused> {}
export const policyRefused = entry("policy-refused", {
  /** SHA-256 of the refused text. */
  textDigest: digest,
  message: text,
});

/** An agent is given permits for a task, in addition to the policy. */
export interface Lease extends EntryOf<typeof lease> {}
export const lease = entry("lease", {
  agent,
  /** Cedar text. */
  permit: text,
  /** Ids of the permits in it. */
  policies: texts,
  /** The policy that they are added to; under another one they permit nothing. */
  policyDigest: digest,
  /** When it ends at the latest, ms since 1970; null when that is not known in advance. */
  until: orNull(count),
});

/** A lease has ended. The leases of an agent also end when the agent is closed. */
export interface LeaseEnd extends EntryOf<typeof leaseEnd> {}
export const leaseEnd = entry("lease-end", {
  agent,
  /** The `seq` of the lease. */
  lease: count,
});
