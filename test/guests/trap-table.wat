;; Calls past the end of the table.
(module
  (memory (export "memory") 1)
  (type $v (func))
  (table 2 funcref)
  (func (export "_start")
    (call_indirect (type $v) (i32.add (i32.load (i32.const 0)) (i32.const 2)))))
