/** Entries about mounts, the directories of an agent that are kept elsewhere. */
import { type Check, count, digest, flag, type ObjectOf, objectOf, oneOf, optional, orNull, text } from "../fields.ts";
import { agent, type EntryOf, entry } from "./common.ts";

/** The most mounts that an agent can have. */
export const MAX_MOUNTS = 16;

/** A directory of an agent's files that is kept elsewhere. */
export interface MountRef extends ObjectOf<typeof mountFields> {}
const mountFields = {
  /** Where the agent's program finds it, such as `/data`. */
  path: text,
  /** What keeps it: nothing but the agent, a directory that the page has, a name in this origin, or another agent. */
  from: oneOf("files", "directory", "persist", "agent"),
  /** That name, or that agent's id; absent for the others. */
  name: optional(text),
  readOnly: flag,
  quotaBytes: count,
  /** Digest of its initial content, as `agent.files.snapshot()` computes it. */
  digest,
};
export const mount: Check<MountRef> = objectOf(mountFields);

/** A mount was changed from outside, and the agent now sees the new content. */
export interface MountRead extends EntryOf<typeof mountRead> {}
export const mountRead = entry("mount-read", {
  agent,
  /** Its path. */
  mount: text,
  /** Digest of its content from here on. */
  digest,
});

/** The agent's changes to a mount are about to be written to what keeps it; logged before the write. */
export interface MountWrite extends EntryOf<typeof mountWrite> {}
export const mountWrite = entry("mount-write", {
  agent,
  mount: text,
  /** Digest of the content before the write. */
  previous: digest,
  /** Digest of the content after it. */
  digest,
  /** How many files, directories and links are written. */
  written: count,
  /** How many are removed. */
  removed: count,
});

/** The result of a {@link MountWrite}. Where it is missing, the write may or may not have happened. */
export interface MountWritten extends EntryOf<typeof mountWritten> {}
export const mountWritten = entry(
  "mount-written",
  {
    agent,
    /** The `seq` of the write that this closes. */
    writeOf: count,
    /** `error`: nothing was written, or only a part. */
    status: oneOf("ok", "error"),
    /** Null unless the status is `error`. */
    message: orNull(text),
  },
  ({ status, message }) =>
    (status === "error") === (message !== null)
      ? undefined
      : "a mount-written has a message if and only if its status is error",
);
