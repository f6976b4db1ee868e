/** The numbers that C2SP tlog-tiles fixes. */

/** Levels of the tree in one tile. */
export const TILE_HEIGHT = 8;
/** Hashes in a full tile, entries in a full entry bundle. */
export const TILE_WIDTH = 256;
/** The longest entry, bytes: its length is written in 16 bits. */
export const MAX_ENTRY_BYTES = 65_535;
