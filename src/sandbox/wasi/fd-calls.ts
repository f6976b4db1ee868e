/** The system calls of WASI preview 1 on open descriptors: those whose names begin with `fd_`. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { RootDirectory } from "../fs/descriptors.ts";
import { CallDevice } from "../fs/devices.ts";
import { fail } from "../preview1/errno.ts";
import { ALL_FDFLAGS } from "../preview1/flags.ts";
import {
  RIGHT_FD_ADVISE,
  RIGHT_FD_ALLOCATE,
  RIGHT_FD_DATASYNC,
  RIGHT_FD_FDSTAT_SET_FLAGS,
  RIGHT_FD_FILESTAT_GET,
  RIGHT_FD_FILESTAT_SET_SIZE,
  RIGHT_FD_FILESTAT_SET_TIMES,
  RIGHT_FD_READ,
  RIGHT_FD_READDIR,
  RIGHT_FD_SEEK,
  RIGHT_FD_SYNC,
  RIGHT_FD_TELL,
  RIGHT_FD_WRITE,
} from "../preview1/rights.ts";
import type { Context, SystemCalls } from "./context.ts";
import { writeStat } from "./stat.ts";

/** Bytes of the structures of WASI preview 1. */
const FDSTAT_BYTES = 24;
const PRESTAT_BYTES = 8;
const DIRENT_BYTES = 24;

export function fdCalls({ memory, table }: Context): SystemCalls {
  const scatter = (iovsPtr: number, iovsLen: number, nreadPtr: number, from: (size: number) => Uint8Array) => {
    const iovs = memory.iovs(iovsPtr, iovsLen);
    memory.view(nreadPtr, 4);
    const wanted = iovs.reduce((sum, span) => sum + span.len, 0);
    const data = from(Math.min(wanted, memory.byteLength));
    memory.scatter(iovs, data);
    memory.setU32(nreadPtr, data.byteLength);
  };

  return {
    fd_advise: (fd: number, _offset: bigint, _len: bigint, advice: number) => {
      table.get(fd, RIGHT_FD_ADVISE);
      if (advice >>> 0 > wasi.ADVICE_NOREUSE) fail(wasi.ERRNO_INVAL);
    },
    fd_allocate: (fd: number, offset: bigint, len: bigint) => table.get(fd, RIGHT_FD_ALLOCATE).allocate(offset, len),
    fd_close: (fd: number) => table.close(fd),
    fd_datasync: (fd: number) => void table.get(fd, RIGHT_FD_DATASYNC),
    fd_fdstat_get: (fd: number, ptr: number) => {
      const { file, base, inheriting } = table.entry(fd);
      const view = memory.view(ptr, FDSTAT_BYTES);
      view.setUint16(0, file.filetype, true);
      view.setUint32(2, file.flags, true);
      view.setBigUint64(8, base, true);
      view.setBigUint64(16, inheriting, true);
    },
    fd_fdstat_set_flags: (fd: number, flags: number) => {
      if (flags >>> 0 > ALL_FDFLAGS) fail(wasi.ERRNO_INVAL);
      const file = table.get(fd, RIGHT_FD_FDSTAT_SET_FLAGS);
      if (file.filetype === wasi.FILETYPE_REGULAR_FILE) file.flags = flags;
    },
    fd_fdstat_set_rights: (fd: number, base: bigint, inheriting: bigint) => {
      const found = table.entry(fd);
      if (base & ~found.base || inheriting & ~found.inheriting) fail(wasi.ERRNO_NOTCAPABLE);
      found.base = base;
      found.inheriting = inheriting;
    },
    fd_filestat_get: (fd: number, ptr: number) => writeStat(memory, ptr, table.get(fd, RIGHT_FD_FILESTAT_GET).stat()),
    fd_filestat_set_size: (fd: number, size: bigint) => table.get(fd, RIGHT_FD_FILESTAT_SET_SIZE).resize(size),
    fd_filestat_set_times: (fd: number, atim: bigint, mtim: bigint, flags: number) =>
      table.get(fd, RIGHT_FD_FILESTAT_SET_TIMES).setTimes(atim, mtim, flags),
    fd_pread: (fd: number, iovs: number, len: number, offset: bigint, nread: number) => {
      const file = table.get(fd, RIGHT_FD_READ);
      scatter(iovs, len, nread, (size) => file.pread(size, offset));
    },
    fd_prestat_dir_name: (fd: number, ptr: number, len: number) => {
      const found = table.get(fd);
      if (!(found instanceof RootDirectory)) fail(wasi.ERRNO_BADF);
      const { name } = found;
      if (len >>> 0 < name.byteLength) fail(wasi.ERRNO_NAMETOOLONG);
      memory.write(ptr, name);
    },
    fd_prestat_get: (fd: number, ptr: number) => {
      const found = table.get(fd);
      if (!(found instanceof RootDirectory)) fail(wasi.ERRNO_BADF);
      const view = memory.view(ptr, PRESTAT_BYTES);
      view.setUint32(0, 0, true); // a directory
      view.setUint32(4, found.name.byteLength, true);
    },
    fd_pwrite: (fd: number, iovs: number, len: number, offset: bigint, nwritten: number) => {
      const file = table.get(fd, RIGHT_FD_WRITE);
      const data = memory.gather(memory.iovs(iovs, len));
      memory.view(nwritten, 4);
      memory.setU32(nwritten, file.pwrite(data, offset));
    },
    fd_read: (fd: number, iovs: number, len: number, nread: number) => {
      const file = table.get(fd, RIGHT_FD_READ);
      scatter(iovs, len, nread, (size) => file.read(size));
    },
    fd_readdir: (fd: number, buf: number, len: number, cookie: bigint, used: number) => {
      const dir = table.directory(fd, RIGHT_FD_READDIR);
      const target = memory.bytes(buf, len);
      memory.view(used, 4);
      let at = 0;
      for (let next = BigInt.asUintN(64, cookie); at < target.byteLength; next++) {
        const found = dir.entry(next);
        if (!found) break;
        const entry = new Uint8Array(DIRENT_BYTES + found.name.byteLength);
        const view = new DataView(entry.buffer);
        view.setBigUint64(0, found.next, true);
        view.setBigUint64(8, found.ino, true);
        view.setUint32(16, found.name.byteLength, true);
        view.setUint8(20, found.filetype);
        entry.set(found.name, DIRENT_BYTES);
        // A last entry that does not fit is cut: a full buffer tells the guest that there is more.
        const fits = entry.subarray(0, target.byteLength - at);
        target.set(fits, at);
        at += fits.byteLength;
      }
      memory.setU32(used, at);
    },
    fd_renumber: (from: number, to: number) => table.renumber(from, to),
    fd_seek: (fd: number, by: bigint, whence: number, ptr: number) => {
      memory.view(ptr, 8);
      const told = by === 0n && whence === wasi.WHENCE_CUR;
      memory.setU64(ptr, table.get(fd, told ? RIGHT_FD_TELL : RIGHT_FD_SEEK).seek(by, whence));
    },
    fd_sync: (fd: number) => void table.get(fd, RIGHT_FD_SYNC),
    fd_tell: (fd: number, ptr: number) => memory.setU64(ptr, table.get(fd, RIGHT_FD_TELL).seek(0n, wasi.WHENCE_CUR)),
    fd_write: (fd: number, iovs: number, len: number, nwritten: number) => {
      const file = table.get(fd, RIGHT_FD_WRITE);
      const data = memory.gather(memory.iovs(iovs, len));
      memory.view(nwritten, 4);
      if (!(file instanceof CallDevice)) return memory.setU32(nwritten, file.write(data));
      const taken = file.call(data);
      if (!(taken instanceof Promise)) return memory.setU32(nwritten, taken);
      return taken.then((count) => memory.setU32(nwritten, count));
    },
  };
}
