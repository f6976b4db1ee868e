;; Converts a number that no i32 can hold.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (i32.trunc_f64_s (f64.add (f64.const 1e30) (f64.load (i32.const 0)))))))
