;; What is in the recordings beside this file: draws random bytes, reads the clock, asks a tool five times, computes with
;; awkward floats in between, prints what came of it, and writes it into a file.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "vak" "call" (func $call (param i32 i32) (result i32)))
  (import "vak" "answer" (func $answer (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $sum (mut i64) (i64.const 1))
  (type $step (func (param i32)))
  (table 2 funcref) (elem (i32.const 0) $ask $work)
  (data (i32.const 256) "{\22tool\22:\22add\22,\22input\22:{\22a\22:10,\22b\22:7}}")
  (data (i32.const 320) "out.txt")

  (func $mix (param i64)
    (global.set $sum (i64.rotl (i64.add (i64.mul (global.get $sum) (i64.const 6364136223846793005)) (local.get 0)) (i64.const 17))))

  ;; Asks for the sum of 1n and 7.
  (func $ask (param $n i32) (local $length i32)
    (i32.store8 (i32.const 284) (i32.add (i32.const 48) (local.get $n)))
    (local.set $length (call $call (i32.const 256) (i32.const 37)))
    (drop (call $answer (i32.const 1024)))
    (call $mix (i64.load (i32.const 1024)))
    (call $mix (i64.extend_i32_u (local.get $length))))

  ;; Bits of NaNs that the engines may choose among.
  (func $work (param $n i32) (local $i i32) (local $x f64)
    (local.set $x (f64.convert_i64_s (global.get $sum)))
    (loop $again
      (local.set $x (f64.div (f64.sub (local.get $x) (local.get $x)) (f64.sub (local.get $x) (local.get $x))))
      (call $mix (i64.reinterpret_f64 (local.get $x)))
      (call $mix (i64.reinterpret_f64 (f64.sqrt (f64.convert_i32_s (i32.sub (i32.const 50) (local.get $i))))))
      (local.set $x (f64.convert_i64_s (global.get $sum)))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2000)))))

  (func $print (param $fd i32)
    (i64.store (i32.const 64) (global.get $sum))
    (i32.store (i32.const 80) (i32.const 64))
    (i32.store (i32.const 84) (i32.const 8))
    (drop (call $fd_write (local.get $fd) (i32.const 80) (i32.const 1) (i32.const 88))))

  (func (export "_start") (local $n i32)
    (drop (call $random (i32.const 512) (i32.const 16)))
    (call $mix (i64.load (i32.const 512)))
    (loop $again
      (call_indirect (type $step) (local.get $n) (i32.const 0))
      (call_indirect (type $step) (local.get $n) (i32.const 1))
      (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 520)))
      (call $mix (i64.load (i32.const 520)))
      (call $print (i32.const 1))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5))))
    (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 320) (i32.const 7) (i32.const 1)
      (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 96)))
    (call $print (i32.load (i32.const 96)))))
