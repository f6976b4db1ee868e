/**
 * The system calls of WASI preview 1 between a program and its surroundings: arguments, environment, exit, random
 * bytes; and socket calls, which always fail.
 */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { OpenDirectory } from "../fs/descriptors.ts";
import { TRAP } from "../gate.ts";
import { fail } from "../preview1/errno.ts";
import type { Context, SystemCalls } from "./context.ts";
import { stringsSize } from "./memory.ts";

/** The most random bytes that one call draws, since they take time. */
const MAX_RANDOM = 2 ** 20;

export function environmentCalls(context: Context): SystemCalls {
  const { memory, table } = context;

  /** No descriptor is a socket. */
  const socket = (fd: number): number =>
    table.get(fd) instanceof OpenDirectory ? wasi.ERRNO_BADF : wasi.ERRNO_NOTSOCK;

  return {
    args_get: (argv: number, buf: number) => memory.strings(argv, buf, context.args),
    args_sizes_get: (count: number, size: number) => {
      memory.setU32(count, context.args.length);
      memory.setU32(size, stringsSize(context.args));
    },
    environ_get: (environ: number, buf: number) => memory.strings(environ, buf, context.env),
    environ_sizes_get: (count: number, size: number) => {
      memory.setU32(count, context.env.length);
      memory.setU32(size, stringsSize(context.env));
    },
    proc_exit: (code: number) => {
      context.ended ??= { exitCode: code >>> 0 };
      return TRAP;
    },
    proc_raise: () => wasi.ERRNO_NOSYS,
    random_get: (ptr: number, len: number) => {
      if (len >>> 0 > MAX_RANDOM) fail(wasi.ERRNO_INVAL);
      context.random.fill(memory.bytes(ptr, len));
    },
    sched_yield: () => {},
    sock_accept: socket,
    sock_recv: socket,
    sock_send: socket,
    sock_shutdown: socket,
  };
}
