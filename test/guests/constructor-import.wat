;; Asks for what every JavaScript object inherits: an allow-list with a prototype would link these.
(module
  (import "constructor" "constructor" (func $a (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "constructor" (func $b (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $a (i32.const 0)))
    (drop (call $b (i32.const 0)))))
