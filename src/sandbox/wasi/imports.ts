/** The functions that a guest may import, with their types: WASI preview 1 (snapshot-01) and the module `vak`. */

/** The type of a function that a guest may import. */
interface Signature {
  /** A letter for each parameter: `i` is an i32, `I` an i64. */
  params: string;
  /** Whether it returns an i32; only those that never return do not. */
  result: boolean;
}

const returns = (params: string): Signature => ({ params, result: true });

/** Everything that a guest can import, by module. Anything else is refused before instantiation. */
export const WASI_IMPORTS: Readonly<Record<string, Readonly<Record<string, Signature>>>> = {
  wasi_snapshot_preview1: {
    args_get: returns("ii"),
    args_sizes_get: returns("ii"),
    clock_res_get: returns("ii"),
    clock_time_get: returns("iIi"),
    environ_get: returns("ii"),
    environ_sizes_get: returns("ii"),
    fd_advise: returns("iIIi"),
    fd_allocate: returns("iII"),
    fd_close: returns("i"),
    fd_datasync: returns("i"),
    fd_fdstat_get: returns("ii"),
    fd_fdstat_set_flags: returns("ii"),
    fd_fdstat_set_rights: returns("iII"),
    fd_filestat_get: returns("ii"),
    fd_filestat_set_size: returns("iI"),
    fd_filestat_set_times: returns("iIIi"),
    fd_pread: returns("iiiIi"),
    fd_prestat_dir_name: returns("iii"),
    fd_prestat_get: returns("ii"),
    fd_pwrite: returns("iiiIi"),
    fd_read: returns("iiii"),
    fd_readdir: returns("iiiIi"),
    fd_renumber: returns("ii"),
    fd_seek: returns("iIii"),
    fd_sync: returns("i"),
    fd_tell: returns("ii"),
    fd_write: returns("iiii"),
    path_create_directory: returns("iii"),
    path_filestat_get: returns("iiiii"),
    path_filestat_set_times: returns("iiiiIIi"),
    path_link: returns("iiiiiii"),
    path_open: returns("iiiiiIIii"),
    path_readlink: returns("iiiiii"),
    path_remove_directory: returns("iii"),
    path_rename: returns("iiiiii"),
    path_symlink: returns("iiiii"),
    path_unlink_file: returns("iii"),
    poll_oneoff: returns("iiii"),
    proc_exit: { params: "i", result: false },
    proc_raise: returns("i"),
    random_get: returns("ii"),
    sched_yield: returns(""),
    sock_accept: returns("iii"),
    sock_recv: returns("iiiiii"),
    sock_send: returns("iiiii"),
    sock_shutdown: returns("ii"),
  },
  vak: {
    answer: returns("i"),
    call: returns("ii"),
  },
};
