/** CPython when metered: the same output, fuel and memory in every engine, in one go or in slices. */
import { ConsoleStdout, File, OpenFile, PreopenDirectory, WASI } from "@bjorn3/browser_wasi_shim";
import { expect, test } from "vitest";
import { attach, instrument, type MeterOptions } from "../../../src/meter/index.ts";
import { hash } from "./harness.ts";

const SCRIPT = `
import json, math, re
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Node:
    def __init__(self, value, rest): self.value, self.rest = value, rest
head = None
for i in range(2000): head = Node(i, head)
total = 0
while head: total, head = total + head.value, head.rest
try: 1 // 0
except ZeroDivisionError as error: caught = str(error)
text = json.dumps({str(i): math.sin(i) for i in range(500)})
print(fib(15), total, caught, len(re.findall("[0-9]+", text)), sum(json.loads(text).values()))
`;
const PRINTED = "610 1999000 integer division or modulo by zero 1501 1.9580673849478594";

interface Run {
  out: string;
  fuel: number;
  memory: number;
  /** A hash of the memory at each refill. */
  points: number[];
}

async function run(python: Uint8Array, options: MeterOptions | undefined, slice?: number): Promise<Run> {
  const bytes = options ? instrument(python, options).bytes : (python as Uint8Array<ArrayBuffer>);
  const module = await WebAssembly.compile(bytes);
  let out = "";
  const print = () => ConsoleStdout.lineBuffered((line: string) => (out += line));
  const files = [new OpenFile(new File([])), print(), print(), new PreopenDirectory("/", new Map())];
  const wasi = new WASI(["python", "-c", SCRIPT], ["PYTHONHASHSEED=1"], files, { debug: false });
  const memory = () => (instance.exports.memory as WebAssembly.Memory).buffer;
  const instance = await WebAssembly.instantiate(module, {
    wasi_snapshot_preview1: {
      ...wasi.wasiImport,
      random_get(at: number, length: number) {
        new Uint8Array(memory(), at, length).fill(7);
        return 0;
      },
      clock_time_get(_clock: number, _precision: bigint, at: number) {
        new DataView(memory()).setBigUint64(at, 1_000_000_000n, true);
        return 0;
      },
    },
  });
  const meter = options ? attach(instance.exports, { fuel: 1e12, ...(slice && { slice }) }) : undefined;
  const points: number[] = [];
  if (slice) {
    meter!.refillWith(() => {
      points.push(hash(memory()));
      meter!.grant(slice);
    });
  }
  wasi.start(instance as Parameters<typeof wasi.start>[0]);
  return { out, fuel: meter?.used ?? 0, memory: hash(memory()), points };
}

export function pythonCases(load: () => Promise<Uint8Array>): void {
  test("CPython does the same metered as unmetered, with the same fuel and memory everywhere", async () => {
    const python = await load();
    const plain = await run(python, undefined);
    expect(plain.out).toBe(PRINTED);
    const limits = { memoryBytes: 2 ** 27, tableElements: 50_000 };
    const whole = await run(python, { fuel: true, ...limits });
    const all = { fuel: true, resumable: true, stackDepth: 30_000, nan: true, ...limits };
    const sliced = await run(python, all, 18_000_001);
    for (const { out, memory } of [whole, sliced])
      expect({ out, memory }).toEqual({ out: PRINTED, memory: plain.memory });
    expect(sliced.fuel).toBe(whole.fuel);
    expect(sliced.points).toHaveLength(33);
    // Measured, and the same, in Node, Chromium and Firefox.
    expect(whole.fuel).toBe(600_731_497);
    expect([whole.memory, hash(new Uint32Array(sliced.points).buffer)]).toEqual([2_749_789_775, 3_759_410_911]);
  });
}
