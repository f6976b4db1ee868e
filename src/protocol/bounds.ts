/** The bounds that kernel and sandbox both keep to: of messages, of what a run may meet, and of paths. */

/** Longest stretch of output in one message, bytes. */
export const OUTPUT_CHUNK = 64 * 1024;
/**
 * Messages a worker may post per second in the long run; more counts as a flood. An honest worker posts at most about
 * 1000.
 */
export const MESSAGES_PER_SECOND = 5000;
/** Messages that may come at once: as many as an honest worker posts while the page is busy for half a minute. */
export const MESSAGES_AT_ONCE = 15_000;
/** Longest text a worker may put in a reply, UTF-16 units. */
export const MAX_TEXT = 4096;
/** The most imports that a worker may report of a program. */
export const MAX_IMPORTS = 10_000;
/** Latest time that a guest's clock can represent as nanoseconds in 64 bits, in ms since 1970; rounded. */
export const MAX_TIME = 2 ** 43;
/** Longest path that a system call takes, bytes of UTF-8. */
export const MAX_PATH = 4096;
/** Deepest nesting of directories. */
export const MAX_DEPTH = 64;
/** Longest name of a file, bytes of UTF-8. */
export const MAX_NAME = 255;
/** The most readings of the real clock that are kept of one run. */
export const MAX_READINGS = 100_000;
/** The most changes that the kernel makes to an agent's files during one run. */
export const MAX_CHANGES = 10_000;
/** The most changes, and the most readings, in one message. */
export const MET_AT_ONCE = 1024;
