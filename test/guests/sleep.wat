;; Sleeps 50 ms by poll_oneoff on the relative monotonic clock. Exit code 1 if that is refused, 2 if the event is wrong,
;; 3 if the monotonic clock did not move by at least 50 ms.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $now (i32.const 1) (i64.const 1) (i32.const 256)))
    ;; subscription at 0: userdata, tag 0 = clock, id 1 = monotonic, timeout, precision, flags 0 = relative
    (i64.store (i32.const 0) (i64.const 0x1234))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 50000000))
    (i64.store (i32.const 32) (i64.const 1))
    (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)) (then (call $proc_exit (i32.const 1))))
    (if (i32.ne (i32.load (i32.const 128)) (i32.const 1)) (then (call $proc_exit (i32.const 2))))
    (if (i64.ne (i64.load (i32.const 64)) (i64.const 0x1234)) (then (call $proc_exit (i32.const 2))))
    (if (i32.load16_u (i32.const 72)) (then (call $proc_exit (i32.const 2))))
    (drop (call $now (i32.const 1) (i64.const 1) (i32.const 264)))
    (if (i64.lt_u (i64.sub (i64.load (i32.const 264)) (i64.load (i32.const 256))) (i64.const 50000000))
      (then (call $proc_exit (i32.const 3))))))
