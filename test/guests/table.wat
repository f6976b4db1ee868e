;; Takes all the table elements there are and prints how many. Exit code 1 if a refusal changed the table.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)

  ;; Prints a number and a newline. Uses memory below 64.
  (func $print (param $n i32)
    (local $at i32)
    (local.set $at (i32.const 63))
    (i32.store8 (i32.const 63) (i32.const 10))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (br_if $digits (local.tee $n (i32.div_u (local.get $n) (i32.const 10)))))
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.sub (i32.const 64) (local.get $at)))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
      (then unreachable)))

  (func (export "_start")
    (local $step i32)
    (local $before i32)
    (local.set $step (i32.const 1048576))
    (loop $next
      (local.set $before (table.size $t))
      (if (i32.eq (table.grow $t (ref.null func) (local.get $step)) (i32.const -1))
        (then
          (if (i32.ne (table.size $t) (local.get $before)) (then (call $proc_exit (i32.const 1))))
          (local.set $step (i32.shr_u (local.get $step) (i32.const 1)))))
      (br_if $next (local.get $step)))
    (call $print (table.size $t))))
