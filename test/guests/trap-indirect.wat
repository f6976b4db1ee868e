;; Calls a function through a signature that it does not have.
(module
  (memory (export "memory") 1)
  (type $v (func))
  (table 2 funcref)
  (elem (i32.const 0) $other)
  (func $other (param i32))
  (func (export "_start")
    (call_indirect (type $v) (i32.load (i32.const 0)))))
