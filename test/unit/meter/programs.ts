/**
 * Programs that together use every way in which control can flow. Each exports `main`; its arguments are tried in turn.
 */
import type { Argument } from "./harness.ts";

interface Program {
  name: string;
  text: string;
  args: Argument[][];
}

const program = (name: string, args: Argument[][], text: string): Program => ({ name, args, text: `(module ${text})` });
const ENV = `
  (import "env" "log" (func $log (param i32)))
  (import "env" "exit" (func $exit (param i32)))
  (import "env" "throw" (func $host_throw (param i32)))
  (import "env" "again" (func $host_again (param i32)))`;

export const PROGRAMS: readonly Program[] = [
  program(
    "straight line",
    [[2, 3]],
    `
    (func (export "main") (param i32 i32) (result i32)
      (drop (i32.const 1)) (nop) (i32.add (local.get 0) (i32.mul (local.get 1) (i32.const 5))))`,
  ),
  program(
    "if and else",
    [[0], [1], [2]],
    `
    (func (export "main") (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0))
        (then (i32.const 10))
        (else (if (result i32) (i32.eq (local.get 0) (i32.const 1)) (then (i32.clz (i32.const 1))) (else (i32.const 30)))))
      (if (i32.gt_u (local.get 0) (i32.const 1)) (then (nop) (local.set 0 (i32.const 9))))
      (i32.add (local.get 0)))`,
  ),
  program(
    "continue: a branch back to the loop from a block in it",
    [[0], [1], [20]],
    `
    (func (export "main") (param $n i32) (result i32) (local $i i32) (local $s i32)
      (loop $l
        (if (i32.ge_s (local.get $i) (local.get $n)) (then (return (local.get $s))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (block $skip
          (br_if $l (i32.and (local.get $i) (i32.const 1)))
          (br_if $skip (i32.and (local.get $i) (i32.const 2)))
          (local.set $s (i32.add (local.get $s) (i32.const 100))))
        (local.set $s (i32.add (local.get $s) (local.get $i)))
        (br $l))
      (unreachable))`,
  ),
  program(
    "dispatch: br_table in a loop",
    [[0], [5], [40]],
    `
    (func (export "main") (param $n i32) (result i32) (local $s i32)
      (block $out
        (loop $l
          (block $default (block $two (block $one (block $zero
            (br_table $zero $one $two $l $out $default (i32.rem_u (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 7))))
            (local.set $s (i32.add (local.get $s) (i32.const 1))))
            (local.set $s (i32.mul (local.get $s) (i32.const 3))) (br_if $out (i32.lt_s (local.get $n) (i32.const -9))))
            (local.set $s (i32.xor (local.get $s) (local.get $n))))
          (br_if $l (i32.gt_s (local.get $n) (i32.const 0)))))
      (local.get $s))`,
  ),
  program(
    "loops within loops",
    [[0], [1], [4]],
    `
    (func (export "main") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $s i32)
      (local.set $i (local.get $n))
      (block $done
        (loop $a
          (br_if $done (i32.eqz (local.get $i)))
          (local.set $j (local.get $i))
          (loop $b
            (block $c
              (br_if $c (i32.eqz (local.get $j)))
              (local.set $j (i32.sub (local.get $j) (i32.const 1)))
              (local.set $s (i32.add (local.get $s) (local.get $j)))
              (br_if $done (i32.gt_s (local.get $s) (i32.const 1000)))
              (br $b)))
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (br $a)))
      (loop $never)
      (local.get $s))`,
  ),
  program(
    "plain loops: every way out of one",
    [[0], [1], [2], [3], [4], [5]],
    `
    (func (export "main") (param $n i32) (result i32 i64) (local $k i32)
      (block $x (result i32)
        (block $y (result i32 i64)
          (block $z
            (loop $l
              (local.set $k (i32.add (local.get $k) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $k) (i32.const 5)))
              (br_if $z (i32.eqz (local.get $n)))
              (if (i32.eq (local.get $n) (i32.const 1)) (then (return (i32.const 1) (i64.const 2))))
              (if (i32.eq (local.get $n) (i32.const 2)) (then (br $x (i32.const 22))))
              (if (i32.eq (local.get $n) (i32.const 3)) (then (br $y (i32.const 3) (i64.const 4))))
              (block $in
                (if (i32.eq (local.get $n) (i32.const 4)) (then (br_table $in $l $z (i32.sub (local.get $k) (i32.const 4)))))))
            (local.set $k (i32.const 77)))
          (i32.const 5) (i64.extend_i32_u (local.get $k)))
        (return))
      (i64.const 6))`,
  ),
  program(
    "loops that carry values",
    [[1], [6]],
    `
    (type $t (func (param i32 i32) (result i32)))
    (func (export "main") (param $n i32) (result i32)
      (i32.const 1) (local.get $n)
      (loop $l (param i32 i32) (result i32)
        (local.set $n) (i32.mul (local.get $n)) (i32.sub (local.get $n) (i32.const 1))
        (br_if $l (i32.gt_s (local.get $n) (i32.const 1)))
        (drop)))`,
  ),
  program(
    "calls, and code after them in outer blocks",
    [[0], [3]],
    `${ENV}
    (func $work (param i32) (result i32) (local i32)
      (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (local.get 0)))) (local.get 1))
    (func $mid (param i32)
      (block (if (local.get 0) (then (call $log (call $work (local.get 0))))) (drop (i32.const 1)))
      (drop (i32.const 2)))
    (func (export "main") (param i32) (result i32)
      (call $mid (local.get 0)) (block (block (call $mid (i32.const 2)) (drop (i32.const 1))) (drop (i32.const 5)))
      (i32.add (call $work (i32.const 9)) (local.get 0)))`,
  ),
  program(
    "an exit deep in calls",
    [[0], [1], [5]],
    `${ENV}
    (func $down (param i32)
      (loop $l
        (block (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 7)) (drop (i32.const 1)))) (drop (i32.const 1)))
        (call $down (i32.sub (local.get 0) (i32.const 1)))
        (br $l)))
    (func (export "main") (param i32) (block (block (call $down (local.get 0)) (drop (i32.const 2))) (drop (i32.const 3))))`,
  ),
  program(
    "recursion",
    [[0], [10]],
    `
    (func $fib (export "main") (param i32) (result i32)
      (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
        (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))`,
  ),
  program(
    "calls through a table",
    [[0], [1], [2], [3]],
    `
    (type $f (func (param i32) (result i32)))
    (table 3 funcref) (elem (i32.const 0) $a $b)
    (func $a (type $f) (i32.const 1)) (func $b (type $f) (call_indirect (type $f) (local.get 0) (i32.const 0)))
    (func (export "main") (param i32) (result i32)
      (i32.add (call_indirect (type $f) (i32.const 5) (i32.const 1)) (call_indirect (type $f) (i32.const 5) (local.get 0))))`,
  ),
  program(
    "tail calls",
    [[0], [1], [5000]],
    `
    (type $f (func (param i32 i32) (result i32)))
    (table funcref (elem $even $odd))
    (func $even (type $f) (local i32)
      (loop (br_if 0 (i32.eqz (local.tee 2 (i32.add (local.get 2) (i32.const 1))))))
      (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
      (return_call $odd (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 3))))
    (func $odd (type $f)
      (if (i32.eqz (local.get 0)) (then (return (i32.const -1))))
      (return_call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (i32.const 0)))
    (func (export "main") (param i32) (result i32) (call $even (local.get 0) (i32.const 0)))`,
  ),
  program(
    "bulk memory",
    [[0], [1], [70000]],
    `
    (memory (export "memory") 2) (data $d "hello, world")
    (func (export "main") (param $n i32) (result i32) (local $i i32)
      (memory.init $d (i32.const 8) (i32.const 0) (i32.const 12))
      (loop $l
        (memory.fill (i32.const 100) (local.get $i) (local.get $n))
        (memory.copy (i32.const 20) (i32.const 8) (i32.const 30))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
      (data.drop $d) (memory.copy (i32.const 0) (i32.const 1) (i32.const 0))
      (i32.add (memory.grow (i32.const 1)) (memory.size)))`,
  ),
  program(
    "tables",
    [[0], [4], [11]],
    `
    (table $t 10 funcref) (elem $e func 0 0 0)
    (func (export "main") (param $n i32) (result i32)
      (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 3))
      (table.fill $t (i32.const 0) (ref.null func) (local.get $n))
      (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 2))
      (elem.drop $e)
      (i32.add (table.grow $t (table.get $t (i32.const 1)) (i32.const 5)) (ref.is_null (ref.func 0))))`,
  ),
  program(
    "traps",
    [[0], [1], [2], [3]],
    `${ENV}
    (memory (export "memory") 1)
    (func $trap (param i32) (result i32) (local $i i32)
      (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
      (block (br_if 0 (local.get 0)) (unreachable))
      (drop (i32.div_u (i32.const 1) (i32.sub (local.get 0) (i32.const 1))))
      (i32.load (i32.mul (i32.sub (local.get 0) (i32.const 2)) (i32.const -1))))
    (func (export "main") (param i32) (result i32) (call $log (i32.const 1)) (call $trap (local.get 0)))`,
  ),
  program(
    "a start function",
    [[]],
    `${ENV}
    (global $g (mut i32) (i32.const 5))
    (func $s (local i32) (global.set $g (i32.const 6)) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 4)))))
    (start $s)
    (func (export "main") (result i32) (global.get $g))`,
  ),
  program(
    "code that is never run",
    [[0], [1]],
    `${ENV}
    (func $two (result i32 i32) (i32.const 1) (i32.const 2)) (func $one (result i32) (i32.const 1))
    (func (export "main") (param i32) (result i32) (local f64)
      (block $b (result i32)
        (loop $l (result i32)
          (br_if $b (i32.const 4) (local.get 0))
          (br $b (i32.const 3))
          (block (result i32) (br $l) (br 0) (br 1) (br 2))
          (call $two) (drop) (local.set 1 (f64.add (f64.const 1) (f64.const 2)))
          (br_table $l $l $l)
          (if (then (return (i32.const 3))) (else (loop (call $log (i32.const 1)) (br 1))))
          (return_call $one) (memory.fill) (unreachable))))
    (memory 1)`,
  ),
  program(
    "several results, and early returns",
    [[0], [1], [9]],
    `
    (func $f (param i32) (result i32 f64 i64) (local i32)
      (loop $l
        (if (i32.eqz (local.get 0)) (then (i32.const 1) (f64.const 2) (i64.const 3) (return)))
        (br_if $l (i32.gt_u (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 2)))
        (i32.const 7) (f64.const 8) (i64.const 9) (br_if 1 (local.get 0)) (br 1))
      (unreachable))
    (func (export "main") (param i32) (result i32 f64 i64) (call $f (local.get 0)))`,
  ),
  program(
    "selects of references and vectors",
    [[0], [1]],
    `
    (func (export "main") (param i32) (result i32)
      (select (result funcref) (ref.null func) (ref.func 0) (local.get 0)) (ref.is_null)
      (select (result v128) (v128.const i32x4 1 2 3 4) (i32x4.splat (i32.const 9)) (local.get 0)) (i32x4.extract_lane 2)
      (i32.add)) (elem declare func 0)`,
  ),
  program(
    "floating point",
    [
      [1.5, 3],
      [0, -7],
    ],
    `
    (func (export "main") (param f64 f64) (result f64) (local $i i32)
      (loop $l
        (local.set 0 (f64.add (f64.mul (local.get 0) (local.get 1)) (f64.sqrt (f64.abs (f64.sub (local.get 0) (f64.const 1))))))
        (local.set 1 (f64.promote_f32 (f32.demote_f64 (f64.div (local.get 1) (f64.add (local.get 1) (f64.const 1))))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 12))))
      (f64.max (local.get 0) (f64.nearest (local.get 1))))`,
  ),
  program(
    "exceptions (try)",
    [[0], [1], [2], [3]],
    `${ENV}
    (tag $a (param i32)) (tag $b)
    (func $spin (param i32) (local i32)
      (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 6))))
      (block (block (br_table 0 1 2 (local.get 0))) (throw $a (i32.const 44))) (throw $b))
    (func $through (param i32) (local i32)
      (loop $l (call $spin (local.get 0)) (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 3)))))
    (func (export "main") (param i32) (result i32) (local $i i32) (local $s i32)
      (loop $l
        (try
          (do (call $through (local.get 0)) (drop (i32.const 1)))
          (catch $a (local.set $s (i32.add (local.get $s))))
          (catch_all (local.set $s (i32.sub (local.get $s) (i32.const 1)))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
      (try (do (try (do (call $through (local.get 0))) (catch_all (drop (i32.const 2)) (rethrow 0)))) (catch_all (call $log (i32.const 5))))
      (try (do (try (do (call $through (local.get 0))) (delegate 0))) (catch $b) (catch_all))
      (try (do (call $host_throw (i32.const 8))) (catch_all (call $log (i32.const 6))))
      (local.get $s))`,
  ),
  program(
    "a callback into the guest",
    [[0], [3]],
    `${ENV}
    (func (export "again") (param i32) (local i32)
      (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 5))))
      (if (i32.eqz (local.get 0)) (then (unreachable))) (call $log (i32.const 3)))
    (func (export "main") (param i32) (result i32) (call $host_again (local.get 0)) (i32.const 1))`,
  ),
];

/** Not in every engine. */
export const NEWER_PROGRAMS: readonly Program[] = [
  program(
    "exceptions (try_table)",
    [[0], [1], [2], [3]],
    `${ENV}
    (tag $a (param i32)) (tag $b)
    (func $spin (param i32) (local i32)
      (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 6))))
      (block (block (br_table 0 1 2 (local.get 0))) (throw $a (i32.const 44))) (throw $b))
    (func $through (param i32) (local i32)
      (loop $l (call $spin (local.get 0)) (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 3)))))
    (func (export "main") (param i32) (result i32) (local $i i32) (local $s i32)
      (loop $l
        (block $next
          (block $all
            (block $h (result i32)
              (try_table (catch $a $h) (catch $b $next) (catch_all $all) (call $through (local.get 0)) (drop (i32.const 1)))
              (br $next))
            (local.set $s (i32.add (local.get $s)))
            (br $next))
          (local.set $s (i32.sub (local.get $s) (i32.const 1))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
      (block $out
        (loop $back
          (br_if $out (i32.gt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 6)))
          (try_table (catch_all $back) (call $through (local.get 0)) (throw $b)) (drop (i32.const 1)))
        (unreachable))
      (block $h2 (result exnref) (try_table (catch_all_ref $h2) (call $host_throw (i32.const 8))) (return (i32.const 0)))
      (drop)
      (block $h3
        (try_table (catch_all $h3)
          (block $h4 (result exnref) (try_table (catch_all_ref $h4) (throw $b)) (return (i32.const 0)))
          (throw_ref)))
      (local.get $s))`,
  ),
  program(
    "several memories",
    [[100]],
    `
    (memory $a (export "memory") 1) (memory $b 1)
    (func (export "main") (param i32) (result i32)
      (i32.store $b offset=4 (i32.const 0) (i32.const 0x01020304))
      (memory.copy $a $b (i32.const 0) (i32.const 4) (local.get 0))
      (memory.fill $b (i32.const 0) (i32.const 1) (local.get 0))
      (i32.add (i32.load $b (i32.const 8)) (i32.load $a (i32.const 0))))`,
  ),
];
