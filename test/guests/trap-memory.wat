;; Reads past the end of memory.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 3))))))
