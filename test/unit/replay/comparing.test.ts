/** The page's changes to files take place where they were recorded, even when two take place between the same calls. */
import { expect, test } from "vitest";
import { resolveLimits } from "../../../src/limits.ts";
import type { Point } from "../../../src/protocol/messages.ts";
import type { Change, Trace } from "../../../src/protocol/trace.ts";
import { ComparingOutside } from "../../../src/replay/comparing.ts";
import { compile } from "../../../src/sandbox/admission.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";
import { load } from "../../../src/sandbox/instance.ts";
import { Runner } from "../../../src/sandbox/runner.ts";
import { wat } from "../meter/assemble.ts";

const limits = resolveLimits();
const text = (string: string) => new TextEncoder().encode(string);
const none = { bytes: 0, digest: "" };
const answered = text('{"ok":1}');

/** Does something for which it may have to wait, works, and exits with the size of the file `a`. */
const program = (first: string) =>
  wat(`(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
    (import "vak" "call" (func $call (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "a")
    (data (i32.const 16) "{\\"tool\\":\\"add\\"}")
    (func (export "_start") (local $i i32)
      (i32.store (i32.const 80) (i32.const 1))
      (i64.store (i32.const 88) (i64.const 1000000))
      ${first}
      (loop $again
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000))))
      (if (call $stat (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 256))
        (then (call $exit (i32.const 99))))
      (call $exit (i32.load (i32.const 288)))))`);

/** Notes where the guest waited. */
class Watching extends ComparingOutside {
  waitedAt = 0;
  override ask(run: number, request: Uint8Array<ArrayBuffer>): Uint8Array {
    this.waitedAt = this.fuel;
    return super.ask(run, request);
  }
  override sleep(): void {
    this.waitedAt = this.fuel;
    super.sleep();
  }
}

test.each([
  ["before it does anything", "entry", ""],
  ["while it sleeps", "wait", "(drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))"],
  ["while it waits for an answer", "wait", "(drop (call $call (i32.const 16) (i32.const 14)))"],
] as const)("files that change %s, and then while it works", async (_name, at, first) => {
  const loaded = load(await compile(await program(first), limits));
  const systemCalls = first ? 1 : 0;
  const execute = async (changes: Change[], fuel?: number) => {
    const volume = new Volume(limits);
    const trace: Trace = {
      before: [],
      changes,
      calls: [],
      stop: null,
      readings: [],
      files: "",
      stdout: none,
      stderr: none,
    };
    const call = {
      entry: undefined,
      elsewhere: false,
      input: undefined,
      fuel: 0,
      requestBytes: 14,
      answer: "",
      answered,
    };
    const outside = new Watching(
      "run",
      trace,
      first.includes("$call") ? [call] : [],
      volume,
      fuel ? { fuel } : undefined,
    );
    outside.differ = () => {}; // There is no log of the call.
    const request = { run: 1, args: [], env: {}, stdin: new Uint8Array(), seed: 1, startTime: 0 };
    const { outcome } = await new Runner(volume).execute(loaded, request, limits, outside, () => {});
    return { outcome, fuel: outside.fuel, waitedAt: outside.waitedAt };
  };
  const { waitedAt } = await execute([]);
  const { fuel } = await execute([], waitedAt + 1000);
  expect(fuel).toBeGreaterThan(waitedAt);
  const change = (data: string, at: Point): Change => ({ path: "a", data: text(data), at });
  const ended = await execute([
    change("x", { at, systemCalls, fuel: waitedAt }),
    change("yy", { at: "check", systemCalls, fuel }),
  ]);
  expect(ended.outcome).toEqual({ status: "exited", exitCode: 2 });
});
