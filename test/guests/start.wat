;; Prints from its start function, before _start: at that time the host has not seen the instance's exports yet.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "start\n")
  (data (i32.const 32) "main\n")
  (func $say (param $text i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $start (call $say (i32.const 16) (i32.const 6)))
  (start $start)
  (func (export "_start") (call $say (i32.const 32) (i32.const 5))))
