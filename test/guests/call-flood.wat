;; Calls the tool "add" for ever and never fetches an answer.
(module
  (import "vak" "call" (func $call (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "{\"tool\":\"add\",\"input\":{\"a\":1,\"b\":2}}")
  (func (export "_start")
    (loop $again
      (drop (call $call (i32.const 16) (i32.const 36)))
      (br $again))))
