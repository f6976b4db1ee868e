;; Prints a dot now and then, for ever.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\02\00\00\00")
  (data (i32.const 16) ".\n")
  (func (export "_start")
    (local $n i32)
    (loop $for-ever
      (local.set $n (i32.const 1000000))
      (loop $wait
        (br_if $wait (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $for-ever))))
