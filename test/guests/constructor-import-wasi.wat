;; constructor-import.wat with a module name that exists, so that only the name is at fault.
(module
  (import "wasi_snapshot_preview1" "constructor" (func $b (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $b (i32.const 0)))))
