;; Calls with requests of 65 bytes, then of 64: with callBytes 64, the first must be E2BIG and the second answered.
;; Exit code 1 or 2 if not.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "vak" "call" (func $call (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.ne (call $call (i32.const 0) (i32.const 65)) (i32.const -1)) (then (call $proc_exit (i32.const 1))))
    (if (i32.lt_s (call $call (i32.const 0) (i32.const 64)) (i32.const 0)) (then (call $proc_exit (i32.const 2))))))
