/** The system calls of WASI preview 1 on paths: those whose names begin with `path_`. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { OpenDirectory } from "../fs/descriptors.ts";
import { fail } from "../preview1/errno.ts";
import { ALL_FDFLAGS, ALL_OFLAGS } from "../preview1/flags.ts";
import {
  RIGHT_FD_WRITE,
  RIGHT_PATH_CREATE_DIRECTORY,
  RIGHT_PATH_CREATE_FILE,
  RIGHT_PATH_FILESTAT_GET,
  RIGHT_PATH_FILESTAT_SET_SIZE,
  RIGHT_PATH_FILESTAT_SET_TIMES,
  RIGHT_PATH_LINK_SOURCE,
  RIGHT_PATH_LINK_TARGET,
  RIGHT_PATH_OPEN,
  RIGHT_PATH_READLINK,
  RIGHT_PATH_REMOVE_DIRECTORY,
  RIGHT_PATH_RENAME_SOURCE,
  RIGHT_PATH_RENAME_TARGET,
  RIGHT_PATH_SYMLINK,
  RIGHT_PATH_UNLINK_FILE,
} from "../preview1/rights.ts";
import type { Context, SystemCalls } from "./context.ts";
import { writeStat } from "./stat.ts";

export function pathCalls({ limits, memory, table }: Context): SystemCalls {
  return {
    path_create_directory: (fd: number, ptr: number, len: number) =>
      table.directory(fd, RIGHT_PATH_CREATE_DIRECTORY).mkdir(memory.path(ptr, len)),
    path_filestat_get: (fd: number, flags: number, ptr: number, len: number, out: number) =>
      writeStat(memory, out, table.directory(fd, RIGHT_PATH_FILESTAT_GET).statAt(flags, memory.path(ptr, len))),
    path_filestat_set_times: (
      fd: number,
      flags: number,
      ptr: number,
      len: number,
      atim: bigint,
      mtim: bigint,
      fst: number,
    ) => table.directory(fd, RIGHT_PATH_FILESTAT_SET_TIMES).setTimesAt(flags, memory.path(ptr, len), atim, mtim, fst),
    path_link: (fd: number, flags: number, ptr: number, len: number, to: number, toPtr: number, toLen: number) => {
      const from = table.directory(fd, RIGHT_PATH_LINK_SOURCE);
      // A hard link to a symbolic link is to the link itself, never to its target.
      if (flags !== 0) fail(wasi.ERRNO_INVAL);
      from.link(memory.path(ptr, len), table.directory(to, RIGHT_PATH_LINK_TARGET), memory.path(toPtr, toLen));
    },
    path_open: (
      fd: number,
      lookup: number,
      ptr: number,
      len: number,
      oflags: number,
      rights: bigint,
      inheriting: bigint,
      flags: number,
      out: number,
    ) => {
      const needed =
        RIGHT_PATH_OPEN |
        (oflags & wasi.OFLAGS_CREAT ? RIGHT_PATH_CREATE_FILE : 0n) |
        (oflags & wasi.OFLAGS_TRUNC ? RIGHT_PATH_FILESTAT_SET_SIZE : 0n);
      const dir = table.directory(fd, needed);
      const path = memory.path(ptr, len);
      memory.view(out, 4);
      if (oflags >>> 0 > ALL_OFLAGS || flags >>> 0 > ALL_FDFLAGS) fail(wasi.ERRNO_INVAL);
      if (table.open >= limits.openFiles) fail(wasi.ERRNO_MFILE);
      const inherited = table.entry(fd).inheriting;
      const file = dir.openAt(lookup, path, oflags, flags, (rights & inherited & RIGHT_FD_WRITE) !== 0n);
      if (file instanceof OpenDirectory && rights & RIGHT_FD_WRITE) fail(wasi.ERRNO_ISDIR);
      memory.setU32(out, table.add(file, rights & inherited, inheriting & inherited));
    },
    path_readlink: (fd: number, ptr: number, len: number, buf: number, bufLen: number, used: number) => {
      const target = memory.bytes(buf, bufLen);
      memory.view(used, 4);
      const link = table
        .directory(fd, RIGHT_PATH_READLINK)
        .readlink(memory.path(ptr, len))
        .subarray(0, target.byteLength);
      target.set(link);
      memory.setU32(used, link.byteLength);
    },
    path_remove_directory: (fd: number, ptr: number, len: number) =>
      table.directory(fd, RIGHT_PATH_REMOVE_DIRECTORY).rmdir(memory.path(ptr, len)),
    path_rename: (fd: number, ptr: number, len: number, to: number, toPtr: number, toLen: number) =>
      table
        .directory(fd, RIGHT_PATH_RENAME_SOURCE)
        .rename(memory.path(ptr, len), table.directory(to, RIGHT_PATH_RENAME_TARGET), memory.path(toPtr, toLen)),
    path_symlink: (targetPtr: number, targetLen: number, fd: number, ptr: number, len: number) =>
      table.directory(fd, RIGHT_PATH_SYMLINK).symlink(memory.path(targetPtr, targetLen), memory.path(ptr, len)),
    path_unlink_file: (fd: number, ptr: number, len: number) =>
      table.directory(fd, RIGHT_PATH_UNLINK_FILE).unlink(memory.path(ptr, len)),
  };
}
