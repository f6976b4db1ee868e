;; exit-catch.wat with the standard's try_table instead of the legacy try (Node 20 has only the legacy one).
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "escaped\n")
  (func (export "_start")
    (block $caught
      (try_table (catch_all $caught)
        (call $proc_exit (i32.const 3)))
      (return))
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 8))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
