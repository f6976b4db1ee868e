/**
 * The rights of WASI preview 1 (snapshot-01), as the 64-bit masks in which system calls take them, and what a
 * descriptor of each kind can be used for.
 *
 * All of the sandbox takes the constants of preview 1 from `@bjorn3/browser_wasi_shim`; those in use were compared with
 * the specification. Nothing else of the shim is used: its structures write times, and read a clock's flags, at wrong
 * offsets (0.4.2), and its `Fd` and `Inode` number inodes with one counter for the whole page, so that a replay would
 * see different numbers than the run.
 */
import { wasi } from "@bjorn3/browser_wasi_shim";

export const RIGHT_FD_DATASYNC = BigInt(wasi.RIGHTS_FD_DATASYNC);
export const RIGHT_FD_READ = BigInt(wasi.RIGHTS_FD_READ);
export const RIGHT_FD_SEEK = BigInt(wasi.RIGHTS_FD_SEEK);
export const RIGHT_FD_FDSTAT_SET_FLAGS = BigInt(wasi.RIGHTS_FD_FDSTAT_SET_FLAGS);
export const RIGHT_FD_SYNC = BigInt(wasi.RIGHTS_FD_SYNC);
export const RIGHT_FD_TELL = BigInt(wasi.RIGHTS_FD_TELL);
export const RIGHT_FD_WRITE = BigInt(wasi.RIGHTS_FD_WRITE);
export const RIGHT_FD_ADVISE = BigInt(wasi.RIGHTS_FD_ADVISE);
export const RIGHT_FD_ALLOCATE = BigInt(wasi.RIGHTS_FD_ALLOCATE);
export const RIGHT_FD_READDIR = BigInt(wasi.RIGHTS_FD_READDIR);
export const RIGHT_FD_FILESTAT_GET = BigInt(wasi.RIGHTS_FD_FILESTAT_GET);
export const RIGHT_FD_FILESTAT_SET_SIZE = BigInt(wasi.RIGHTS_FD_FILESTAT_SET_SIZE);
export const RIGHT_FD_FILESTAT_SET_TIMES = BigInt(wasi.RIGHTS_FD_FILESTAT_SET_TIMES);
export const RIGHT_PATH_CREATE_DIRECTORY = BigInt(wasi.RIGHTS_PATH_CREATE_DIRECTORY);
export const RIGHT_PATH_CREATE_FILE = BigInt(wasi.RIGHTS_PATH_CREATE_FILE);
export const RIGHT_PATH_LINK_SOURCE = BigInt(wasi.RIGHTS_PATH_LINK_SOURCE);
export const RIGHT_PATH_LINK_TARGET = BigInt(wasi.RIGHTS_PATH_LINK_TARGET);
export const RIGHT_PATH_OPEN = BigInt(wasi.RIGHTS_PATH_OPEN);
export const RIGHT_PATH_READLINK = BigInt(wasi.RIGHTS_PATH_READLINK);
export const RIGHT_PATH_RENAME_SOURCE = BigInt(wasi.RIGHTS_PATH_RENAME_SOURCE);
export const RIGHT_PATH_RENAME_TARGET = BigInt(wasi.RIGHTS_PATH_RENAME_TARGET);
export const RIGHT_PATH_FILESTAT_GET = BigInt(wasi.RIGHTS_PATH_FILESTAT_GET);
export const RIGHT_PATH_FILESTAT_SET_SIZE = BigInt(wasi.RIGHTS_PATH_FILESTAT_SET_SIZE);
export const RIGHT_PATH_FILESTAT_SET_TIMES = BigInt(wasi.RIGHTS_PATH_FILESTAT_SET_TIMES);
export const RIGHT_PATH_SYMLINK = BigInt(wasi.RIGHTS_PATH_SYMLINK);
export const RIGHT_PATH_REMOVE_DIRECTORY = BigInt(wasi.RIGHTS_PATH_REMOVE_DIRECTORY);
export const RIGHT_PATH_UNLINK_FILE = BigInt(wasi.RIGHTS_PATH_UNLINK_FILE);
export const RIGHT_POLL_FD_READWRITE = BigInt(wasi.RIGHTS_POLL_FD_READWRITE);

/** What any stream can be used for: querying its flags and type, syncing, polling. */
export const STREAM_RIGHTS =
  RIGHT_FD_DATASYNC | RIGHT_FD_FDSTAT_SET_FLAGS | RIGHT_FD_SYNC | RIGHT_FD_FILESTAT_GET | RIGHT_POLL_FD_READWRITE;

/** What an open file can be used for: the rights whose names begin with `FD_`, except `FD_READDIR`, and polling. */
export const FILE_RIGHTS =
  STREAM_RIGHTS |
  RIGHT_FD_READ |
  RIGHT_FD_SEEK |
  RIGHT_FD_TELL |
  RIGHT_FD_WRITE |
  RIGHT_FD_ADVISE |
  RIGHT_FD_ALLOCATE |
  RIGHT_FD_FILESTAT_SET_SIZE |
  RIGHT_FD_FILESTAT_SET_TIMES;

/** What an open directory can be used for: the rights of `PATH_`, listing, times and syncing. */
export const DIRECTORY_RIGHTS =
  RIGHT_FD_DATASYNC |
  RIGHT_FD_FDSTAT_SET_FLAGS |
  RIGHT_FD_SYNC |
  RIGHT_FD_READDIR |
  RIGHT_FD_FILESTAT_GET |
  RIGHT_FD_FILESTAT_SET_TIMES |
  RIGHT_PATH_CREATE_DIRECTORY |
  RIGHT_PATH_CREATE_FILE |
  RIGHT_PATH_LINK_SOURCE |
  RIGHT_PATH_LINK_TARGET |
  RIGHT_PATH_OPEN |
  RIGHT_PATH_READLINK |
  RIGHT_PATH_RENAME_SOURCE |
  RIGHT_PATH_RENAME_TARGET |
  RIGHT_PATH_FILESTAT_GET |
  RIGHT_PATH_FILESTAT_SET_SIZE |
  RIGHT_PATH_FILESTAT_SET_TIMES |
  RIGHT_PATH_SYMLINK |
  RIGHT_PATH_REMOVE_DIRECTORY |
  RIGHT_PATH_UNLINK_FILE;
