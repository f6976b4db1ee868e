;; Hands the host bad pointers, lengths, descriptors and offsets in every WASI function that takes one, and in vak.call
;; and vak.answer. Each must be refused by an errno. Prints the number of each check that was not (they are numbered
;; from 0 in the order below); the exit code is how many those were, at most 100. Exit code 101: it could not make the
;; file "data" that it needs. Run it with an argument and an environment variable, else their checks are left out.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_advise" (func $fd_advise (param i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_allocate" (func $fd_allocate (param i32 i64 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_datasync" (func $fd_datasync (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $fd_fdstat_set_flags (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $fd_filestat_set_size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_sync" (func $fd_sync (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_tell" (func $fd_tell (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get" (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times" (func $path_filestat_set_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link" (func $path_link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_readlink" (func $path_readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory" (func $path_remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $sock_shutdown (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "vak" "call" (func $call (param i32 i32) (result i32)))
  (import "vak" "answer" (func $answer (param i32) (result i32)))
  (memory (export "memory") 1 1) ;; so 65536 is the first address outside
  (global $file (mut i32) (i32.const 0))
  (global $checks (mut i32) (i32.const 0))
  (global $accepted (mut i32) (i32.const 0))
  (data (i32.const 128) "datanone")
  (data (i32.const 144) "{\"tool\":\"none\",\"input\":{}}")
  ;; iovecs: a good one; a buffer outside; a length outside; one across the end
  (data (i32.const 256) "\00\04\00\00\04\00\00\00" "\f0\ff\ff\ff\04\00\00\00" "\00\04\00\00\ff\ff\ff\ff" "\fe\ff\00\00\04\00\00\00")
  ;; a poll subscription at 512: the monotonic clock, now
  (data (i32.const 528) "\01")

  ;; Prints a number and a newline. Uses memory below 64.
  (func $print (param $n i32)
    (local $at i32)
    (local.set $at (i32.const 63))
    (i32.store8 (i32.const 63) (i32.const 10))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (br_if $digits (local.tee $n (i32.div_u (local.get $n) (i32.const 10)))))
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.sub (i32.const 64) (local.get $at)))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
      (then unreachable)))

  (func $check (param $succeeded i32)
    (if (local.get $succeeded)
      (then
        (global.set $accepted (i32.add (global.get $accepted) (i32.const 1)))
        (call $print (global.get $checks))))
    (global.set $checks (i32.add (global.get $checks) (i32.const 1))))
  (func $refused (param $errno i32) (call $check (i32.eqz (local.get $errno))))
  (func $negative (param $length i32) (call $check (i32.ge_s (local.get $length) (i32.const 0))))

  (func (export "_start")
    ;; the file "data", with eight bytes in it
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 1) (i64.const 0x8e001ff) (i64.const 0) (i32.const 0) (i32.const 320))
      (then (call $proc_exit (i32.const 101))))
    (global.set $file (i32.load (i32.const 320)))
    (if (call $fd_write (global.get $file) (i32.const 256) (i32.const 1) (i32.const 320)) (then (call $proc_exit (i32.const 101))))
    (if (call $fd_write (global.get $file) (i32.const 256) (i32.const 1) (i32.const 320)) (then (call $proc_exit (i32.const 101))))
    (if (call $fd_seek (global.get $file) (i64.const 0) (i32.const 0) (i32.const 320)) (then (call $proc_exit (i32.const 101))))

    (call $refused (call $args_sizes_get (i32.const -16) (i32.const 320))) ;; 0
    (call $refused (call $args_sizes_get (i32.const 320) (i32.const 65534))) ;; 1
    (call $refused (call $environ_sizes_get (i32.const -16) (i32.const 320))) ;; 2
    (call $refused (call $environ_sizes_get (i32.const 320) (i32.const 65534))) ;; 3
    (call $refused (call $clock_res_get (i32.const 0) (i32.const -16))) ;; 4
    (call $refused (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 65532))) ;; 5
    (call $refused (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const -16))) ;; 6
    (call $refused (call $fd_fdstat_get (global.get $file) (i32.const -16))) ;; 7
    (call $refused (call $fd_fdstat_get (global.get $file) (i32.const 65520))) ;; 8
    (call $refused (call $fd_filestat_get (global.get $file) (i32.const -16))) ;; 9
    (call $refused (call $fd_filestat_get (global.get $file) (i32.const 65500))) ;; 10
    (call $refused (call $fd_write (global.get $file) (i32.const -16) (i32.const 1) (i32.const 320))) ;; 11
    (call $refused (call $fd_write (global.get $file) (i32.const 65532) (i32.const 1) (i32.const 320))) ;; 12
    (call $refused (call $fd_write (global.get $file) (i32.const 264) (i32.const 1) (i32.const 320))) ;; 13
    (call $refused (call $fd_write (global.get $file) (i32.const 272) (i32.const 1) (i32.const 320))) ;; 14
    (call $refused (call $fd_write (global.get $file) (i32.const 280) (i32.const 1) (i32.const 320))) ;; 15
    (call $refused (call $fd_write (global.get $file) (i32.const 256) (i32.const 0x7fffffff) (i32.const 320))) ;; 16
    (call $refused (call $fd_write (global.get $file) (i32.const 256) (i32.const -1) (i32.const 320))) ;; 17
    (call $refused (call $fd_write (global.get $file) (i32.const 256) (i32.const 1) (i32.const -16))) ;; 18
    (call $refused (call $fd_write (global.get $file) (i32.const 256) (i32.const 1) (i32.const 65534))) ;; 19
    (call $refused (call $fd_read (global.get $file) (i32.const -16) (i32.const 1) (i32.const 320))) ;; 20
    (call $refused (call $fd_read (global.get $file) (i32.const 65532) (i32.const 1) (i32.const 320))) ;; 21
    (call $refused (call $fd_read (global.get $file) (i32.const 264) (i32.const 1) (i32.const 320))) ;; 22
    (call $refused (call $fd_read (global.get $file) (i32.const 272) (i32.const 1) (i32.const 320))) ;; 23
    (call $refused (call $fd_read (global.get $file) (i32.const 280) (i32.const 1) (i32.const 320))) ;; 24
    (call $refused (call $fd_read (global.get $file) (i32.const 256) (i32.const 0x7fffffff) (i32.const 320))) ;; 25
    (call $refused (call $fd_read (global.get $file) (i32.const 256) (i32.const -1) (i32.const 320))) ;; 26
    (call $refused (call $fd_read (global.get $file) (i32.const 256) (i32.const 1) (i32.const -16))) ;; 27
    (call $refused (call $fd_read (global.get $file) (i32.const 256) (i32.const 1) (i32.const 65534))) ;; 28
    (call $refused (call $fd_pwrite (global.get $file) (i32.const -16) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 29
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 65532) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 30
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 264) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 31
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 272) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 32
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 280) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 33
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 256) (i32.const 0x7fffffff) (i64.const 0) (i32.const 320))) ;; 34
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 256) (i32.const -1) (i64.const 0) (i32.const 320))) ;; 35
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 256) (i32.const 1) (i64.const 0) (i32.const -16))) ;; 36
    (call $refused (call $fd_pwrite (global.get $file) (i32.const 256) (i32.const 1) (i64.const 0) (i32.const 65534))) ;; 37
    (call $refused (call $fd_pread (global.get $file) (i32.const -16) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 38
    (call $refused (call $fd_pread (global.get $file) (i32.const 65532) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 39
    (call $refused (call $fd_pread (global.get $file) (i32.const 264) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 40
    (call $refused (call $fd_pread (global.get $file) (i32.const 272) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 41
    (call $refused (call $fd_pread (global.get $file) (i32.const 280) (i32.const 1) (i64.const 0) (i32.const 320))) ;; 42
    (call $refused (call $fd_pread (global.get $file) (i32.const 256) (i32.const 0x7fffffff) (i64.const 0) (i32.const 320))) ;; 43
    (call $refused (call $fd_pread (global.get $file) (i32.const 256) (i32.const -1) (i64.const 0) (i32.const 320))) ;; 44
    (call $refused (call $fd_pread (global.get $file) (i32.const 256) (i32.const 1) (i64.const 0) (i32.const -16))) ;; 45
    (call $refused (call $fd_pread (global.get $file) (i32.const 256) (i32.const 1) (i64.const 0) (i32.const 65534))) ;; 46
    (call $refused (call $fd_write (i32.const 1) (i32.const -16) (i32.const 1) (i32.const 320))) ;; 47
    (call $refused (call $fd_read (i32.const 0) (i32.const -16) (i32.const 1) (i32.const 320))) ;; 48
    (call $refused (call $fd_write (i32.const 1) (i32.const 264) (i32.const 1) (i32.const 320))) ;; 49
    (call $refused (call $fd_read (i32.const 0) (i32.const 264) (i32.const 1) (i32.const 320))) ;; 50
    (call $refused (call $fd_write (i32.const 1) (i32.const 272) (i32.const 1) (i32.const 320))) ;; 51
    (call $refused (call $fd_read (i32.const 0) (i32.const 272) (i32.const 1) (i32.const 320))) ;; 52
    (call $refused (call $fd_write (i32.const 1) (i32.const 256) (i32.const 0x7fffffff) (i32.const 320))) ;; 53
    (call $refused (call $fd_read (i32.const 0) (i32.const 256) (i32.const 0x7fffffff) (i32.const 320))) ;; 54
    (call $refused (call $fd_seek (global.get $file) (i64.const 0) (i32.const 0) (i32.const -16))) ;; 55
    (call $refused (call $fd_tell (global.get $file) (i32.const -16))) ;; 56
    (call $refused (call $fd_tell (global.get $file) (i32.const 65532))) ;; 57
    (call $refused (call $fd_seek (global.get $file) (i64.const -1) (i32.const 0) (i32.const 320))) ;; 58
    (call $refused (call $fd_seek (global.get $file) (i64.const 0) (i32.const 9) (i32.const 320))) ;; 59
    (call $refused (call $fd_prestat_get (i32.const 3) (i32.const -16))) ;; 60
    (call $refused (call $fd_prestat_get (i32.const 3) (i32.const 65532))) ;; 61
    (call $refused (call $fd_prestat_dir_name (i32.const 3) (i32.const -16) (i32.const 1))) ;; 62
    (call $refused (call $fd_readdir (i32.const 3) (i32.const -16) (i32.const 64) (i64.const 0) (i32.const 320))) ;; 63
    (call $refused (call $fd_readdir (i32.const 3) (i32.const 1024) (i32.const 64) (i64.const 0) (i32.const -16))) ;; 64
    (call $refused (call $fd_readdir (i32.const 3) (i32.const 1024) (i32.const -1) (i64.const 0) (i32.const 320))) ;; 65
    (call $refused (call $fd_readdir (i32.const 3) (i32.const 65530) (i32.const 64) (i64.const 0) (i32.const 320))) ;; 66
    (call $refused (call $path_open (i32.const 3) (i32.const 0) (i32.const -16) (i32.const 4) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 320))) ;; 67
    (call $refused (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const -1) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 320))) ;; 68
    (call $refused (call $path_open (i32.const 3) (i32.const 0) (i32.const 65534) (i32.const 4) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 320))) ;; 69
    (call $refused (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 0x7fffffff) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 320))) ;; 70
    (call $refused (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const -16))) ;; 71
    (call $refused (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 65534))) ;; 72
    (call $refused (call $path_create_directory (i32.const 3) (i32.const -16) (i32.const 4))) ;; 73
    (call $refused (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const -16) (i32.const 4) (i32.const 320))) ;; 74
    (call $refused (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const -16) (i32.const 4) (i64.const 0) (i64.const 0) (i32.const 1))) ;; 75
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const -16) (i32.const 4) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 76
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const -16) (i32.const 4))) ;; 77
    (call $refused (call $path_readlink (i32.const 3) (i32.const -16) (i32.const 4) (i32.const 1024) (i32.const 64) (i32.const 320))) ;; 78
    (call $refused (call $path_remove_directory (i32.const 3) (i32.const -16) (i32.const 4))) ;; 79
    (call $refused (call $path_rename (i32.const 3) (i32.const -16) (i32.const 4) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 80
    (call $refused (call $path_rename (i32.const 3) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const -16) (i32.const 4))) ;; 81
    (call $refused (call $path_symlink (i32.const -16) (i32.const 4) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 82
    (call $refused (call $path_symlink (i32.const 128) (i32.const 4) (i32.const 3) (i32.const -16) (i32.const 4))) ;; 83
    (call $refused (call $path_unlink_file (i32.const 3) (i32.const -16) (i32.const 4))) ;; 84
    (call $refused (call $path_create_directory (i32.const 3) (i32.const 128) (i32.const -1))) ;; 85
    (call $refused (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 128) (i32.const -1) (i32.const 320))) ;; 86
    (call $refused (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 128) (i32.const -1) (i64.const 0) (i64.const 0) (i32.const 1))) ;; 87
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 128) (i32.const -1) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 88
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 128) (i32.const -1))) ;; 89
    (call $refused (call $path_readlink (i32.const 3) (i32.const 128) (i32.const -1) (i32.const 1024) (i32.const 64) (i32.const 320))) ;; 90
    (call $refused (call $path_remove_directory (i32.const 3) (i32.const 128) (i32.const -1))) ;; 91
    (call $refused (call $path_rename (i32.const 3) (i32.const 128) (i32.const -1) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 92
    (call $refused (call $path_rename (i32.const 3) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 128) (i32.const -1))) ;; 93
    (call $refused (call $path_symlink (i32.const 128) (i32.const -1) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 94
    (call $refused (call $path_symlink (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 128) (i32.const -1))) ;; 95
    (call $refused (call $path_unlink_file (i32.const 3) (i32.const 128) (i32.const -1))) ;; 96
    (call $refused (call $path_create_directory (i32.const 3) (i32.const 65534) (i32.const 4))) ;; 97
    (call $refused (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 65534) (i32.const 4) (i32.const 320))) ;; 98
    (call $refused (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 65534) (i32.const 4) (i64.const 0) (i64.const 0) (i32.const 1))) ;; 99
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 65534) (i32.const 4) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 100
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 65534) (i32.const 4))) ;; 101
    (call $refused (call $path_readlink (i32.const 3) (i32.const 65534) (i32.const 4) (i32.const 1024) (i32.const 64) (i32.const 320))) ;; 102
    (call $refused (call $path_remove_directory (i32.const 3) (i32.const 65534) (i32.const 4))) ;; 103
    (call $refused (call $path_rename (i32.const 3) (i32.const 65534) (i32.const 4) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 104
    (call $refused (call $path_rename (i32.const 3) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 65534) (i32.const 4))) ;; 105
    (call $refused (call $path_symlink (i32.const 65534) (i32.const 4) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 106
    (call $refused (call $path_symlink (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 65534) (i32.const 4))) ;; 107
    (call $refused (call $path_unlink_file (i32.const 3) (i32.const 65534) (i32.const 4))) ;; 108
    (call $refused (call $path_create_directory (i32.const 3) (i32.const 128) (i32.const 0x7fffffff))) ;; 109
    (call $refused (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 0x7fffffff) (i32.const 320))) ;; 110
    (call $refused (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 0x7fffffff) (i64.const 0) (i64.const 0) (i32.const 1))) ;; 111
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 0x7fffffff) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 112
    (call $refused (call $path_link (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 128) (i32.const 0x7fffffff))) ;; 113
    (call $refused (call $path_readlink (i32.const 3) (i32.const 128) (i32.const 0x7fffffff) (i32.const 1024) (i32.const 64) (i32.const 320))) ;; 114
    (call $refused (call $path_remove_directory (i32.const 3) (i32.const 128) (i32.const 0x7fffffff))) ;; 115
    (call $refused (call $path_rename (i32.const 3) (i32.const 128) (i32.const 0x7fffffff) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 116
    (call $refused (call $path_rename (i32.const 3) (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 128) (i32.const 0x7fffffff))) ;; 117
    (call $refused (call $path_symlink (i32.const 128) (i32.const 0x7fffffff) (i32.const 3) (i32.const 136) (i32.const 4))) ;; 118
    (call $refused (call $path_symlink (i32.const 128) (i32.const 4) (i32.const 3) (i32.const 128) (i32.const 0x7fffffff))) ;; 119
    (call $refused (call $path_unlink_file (i32.const 3) (i32.const 128) (i32.const 0x7fffffff))) ;; 120
    (call $refused (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const -16))) ;; 121
    (call $refused (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 65500))) ;; 122
    (call $refused (call $poll_oneoff (i32.const -16) (i32.const 1024) (i32.const 1) (i32.const 320))) ;; 123
    (call $refused (call $poll_oneoff (i32.const 512) (i32.const -16) (i32.const 1) (i32.const 320))) ;; 124
    (call $refused (call $poll_oneoff (i32.const 512) (i32.const 1024) (i32.const 1) (i32.const -16))) ;; 125
    (call $refused (call $poll_oneoff (i32.const 512) (i32.const 1024) (i32.const 0x7fffffff) (i32.const 320))) ;; 126
    (call $refused (call $poll_oneoff (i32.const 512) (i32.const 1024) (i32.const -1) (i32.const 320))) ;; 127
    (call $refused (call $poll_oneoff (i32.const 65500) (i32.const 1024) (i32.const 1) (i32.const 320))) ;; 128
    (call $refused (call $poll_oneoff (i32.const 512) (i32.const 65520) (i32.const 1) (i32.const 320))) ;; 129
    (call $refused (call $random_get (i32.const -16) (i32.const 16))) ;; 130
    (call $refused (call $random_get (i32.const 1024) (i32.const -1))) ;; 131
    (call $refused (call $random_get (i32.const 65530) (i32.const 16))) ;; 132
    (call $refused (call $random_get (i32.const 1024) (i32.const 65536))) ;; 133
    (call $refused (call $fd_close (i32.const -1))) ;; 134
    (call $refused (call $fd_renumber (i32.const -1) (global.get $file))) ;; 135
    (call $refused (call $fd_renumber (global.get $file) (i32.const -1))) ;; 136
    (call $refused (call $fd_write (i32.const -1) (i32.const 256) (i32.const 1) (i32.const 320))) ;; 137
    (call $refused (call $fd_sync (i32.const -1))) ;; 138
    (call $refused (call $fd_fdstat_get (i32.const -1) (i32.const 320))) ;; 139
    (call $refused (call $fd_filestat_set_size (i32.const -1) (i64.const 0))) ;; 140
    (call $refused (call $fd_readdir (i32.const -1) (i32.const 1024) (i32.const 64) (i64.const 0) (i32.const 320))) ;; 141
    (call $refused (call $fd_close (i32.const 0x7fffffff))) ;; 142
    (call $refused (call $fd_renumber (i32.const 0x7fffffff) (global.get $file))) ;; 143
    (call $refused (call $fd_renumber (global.get $file) (i32.const 0x7fffffff))) ;; 144
    (call $refused (call $fd_write (i32.const 0x7fffffff) (i32.const 256) (i32.const 1) (i32.const 320))) ;; 145
    (call $refused (call $fd_sync (i32.const 0x7fffffff))) ;; 146
    (call $refused (call $fd_fdstat_get (i32.const 0x7fffffff) (i32.const 320))) ;; 147
    (call $refused (call $fd_filestat_set_size (i32.const 0x7fffffff) (i64.const 0))) ;; 148
    (call $refused (call $fd_readdir (i32.const 0x7fffffff) (i32.const 1024) (i32.const 64) (i64.const 0) (i32.const 320))) ;; 149
    (call $refused (call $fd_close (i32.const 1000))) ;; 150
    (call $refused (call $fd_renumber (i32.const 1000) (global.get $file))) ;; 151
    (call $refused (call $fd_renumber (global.get $file) (i32.const 1000))) ;; 152
    (call $refused (call $fd_write (i32.const 1000) (i32.const 256) (i32.const 1) (i32.const 320))) ;; 153
    (call $refused (call $fd_sync (i32.const 1000))) ;; 154
    (call $refused (call $fd_fdstat_get (i32.const 1000) (i32.const 320))) ;; 155
    (call $refused (call $fd_filestat_set_size (i32.const 1000) (i64.const 0))) ;; 156
    (call $refused (call $fd_readdir (i32.const 1000) (i32.const 1024) (i32.const 64) (i64.const 0) (i32.const 320))) ;; 157
    (call $refused (call $fd_filestat_set_size (global.get $file) (i64.const -1))) ;; 158
    (call $refused (call $fd_allocate (global.get $file) (i64.const 0) (i64.const 0x4000000000000000))) ;; 159
    (call $refused (call $sock_accept (global.get $file) (i32.const 0) (i32.const -16))) ;; 160
    (call $refused (call $sock_recv (global.get $file) (i32.const -16) (i32.const 1) (i32.const 0) (i32.const 320) (i32.const 320))) ;; 161
    (call $refused (call $sock_send (global.get $file) (i32.const -16) (i32.const 1) (i32.const 0) (i32.const 320))) ;; 162
    (call $refused (call $sock_shutdown (global.get $file) (i32.const 3))) ;; 163
    (call $refused (call $fd_fdstat_set_flags (i32.const -1) (i32.const 0))) ;; 164
    (call $refused (call $fd_datasync (i32.const -1))) ;; 165
    (call $refused (call $fd_advise (i32.const -1) (i64.const 0) (i64.const 0) (i32.const 0))) ;; 166
    (call $refused (call $fd_prestat_get (i32.const 1000) (i32.const 320))) ;; 167

    (call $negative (call $call (i32.const -16) (i32.const 16))) ;; 168
    (call $negative (call $call (i32.const 144) (i32.const -1))) ;; 169
    (call $negative (call $call (i32.const 144) (i32.const 0x7fffffff))) ;; 170
    (call $negative (call $call (i32.const 65530) (i32.const 16))) ;; 171
    (call $negative (call $answer (i32.const 1024))) ;; 172: there is no answer yet
    ;; A well-formed call of a tool that does not exist has an answer, which is then fetched badly.
    (call $check (i32.lt_s (call $call (i32.const 144) (i32.const 26)) (i32.const 1))) ;; 173
    (call $negative (call $answer (i32.const -16))) ;; 174
    (call $negative (call $answer (i32.const 65530))) ;; 175
    (call $negative (call $answer (i32.const 65536))) ;; 176

    (if (call $args_sizes_get (i32.const 320) (i32.const 324)) (then (call $proc_exit (i32.const 101))))
    (if (i32.load (i32.const 320))
      (then
        (call $refused (call $args_get (i32.const -16) (i32.const 1024))) ;; 177
        (call $refused (call $args_get (i32.const 65534) (i32.const 1024))) ;; 178
        (call $refused (call $args_get (i32.const 1024) (i32.const -16))) ;; 179
        (call $refused (call $args_get (i32.const 1024) (i32.const 65535))))) ;; 180
    (if (call $environ_sizes_get (i32.const 320) (i32.const 324)) (then (call $proc_exit (i32.const 101))))
    (if (i32.load (i32.const 320))
      (then
        (call $refused (call $environ_get (i32.const -16) (i32.const 1024))) ;; 181
        (call $refused (call $environ_get (i32.const 65534) (i32.const 1024))) ;; 182
        (call $refused (call $environ_get (i32.const 1024) (i32.const -16))) ;; 183
        (call $refused (call $environ_get (i32.const 1024) (i32.const 65535))))) ;; 184

    (if (i32.gt_u (global.get $accepted) (i32.const 100)) (then (global.set $accepted (i32.const 100))))
    (if (global.get $accepted) (then (call $proc_exit (global.get $accepted))))))
