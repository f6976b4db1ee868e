/** Flags of WASI preview 1 that `@bjorn3/browser_wasi_shim` does not name, and how flags are tested. */

/** The only lookup flag: follow a symbolic link at the end of a path. */
export const LOOKUPFLAGS_SYMLINK_FOLLOW = 1;

/** All the flags there are of each kind; any other bit is invalid. */
export const ALL_FDFLAGS = 31;
export const ALL_FSTFLAGS = 15;
export const ALL_OFLAGS = 15;

export const has = (flags: number, flag: number): boolean => (flags & flag) !== 0;
