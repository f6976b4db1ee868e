/** The parsers of workers' messages. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/limits.ts";
import { MET_AT_ONCE, OUTPUT_CHUNK } from "../../../src/protocol/bounds.ts";
import {
  parseAdmitted,
  parseFile,
  parseFileList,
  parseFinished,
  parseReply,
  parseWorkerMessage,
} from "../../../src/protocol/parse.ts";
import { fuzzFactor } from "../../setup/fuzz.ts";

const limits = { ...DEFAULT_LIMITS, callBytes: 100, fileBytes: 1000, fileCount: 3 };
const end = {
  outcome: { status: "exited", exitCode: 0 },
  fuel: 1,
  memoryBytes: 65_536,
  fileBytes: 10,
  files: "0".repeat(64),
  stop: { at: "wait", systemCalls: 2, fuel: 1 },
};
const met = {
  vak: "met",
  run: 1,
  fuel: 1,
  changes: [{ at: "check", systemCalls: 0, fuel: 1 }],
  readings: [1_700_000_000_000, 0, 3],
};

/** Anything that a structured clone can carry, and near misses of real messages above all. */
const anything = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true, withNullPrototype: true }),
  fc.record(
    {
      vak: fc.oneof(fc.constantFrom("hello", "call", "met", "output", "answer", "stop"), fc.anything()),
      version: fc.oneof(fc.constant(1), fc.anything()),
      run: fc.oneof(fc.nat(), fc.anything()),
      call: fc.oneof(fc.nat(), fc.anything()),
      fuel: fc.oneof(fc.nat(), fc.anything()),
      changes: fc.oneof(fc.array(fc.oneof(fc.constant(met.changes[0]), fc.anything())), fc.anything()),
      readings: fc.oneof(fc.array(fc.oneof(fc.nat(), fc.anything())), fc.anything()),
      fd: fc.oneof(fc.constantFrom(1, 2, 3), fc.anything()),
      bytes: fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.anything()),
      id: fc.oneof(fc.string(), fc.anything()),
      type: fc.oneof(fc.constantFrom("RAW", "HANDLER"), fc.anything()),
      name: fc.oneof(fc.constantFrom("throw", "proxy", "constructor"), fc.anything()),
      value: fc.anything(),
    },
    { requiredKeys: [] },
  ),
  fc.record(
    {
      outcome: fc.oneof(
        fc.record({ status: fc.constantFrom("exited", "trapped", "stopped", "failed"), exitCode: fc.anything() }),
        fc.anything(),
      ),
      fuel: fc.anything(),
      memoryBytes: fc.anything(),
      fileBytes: fc.anything(),
      files: fc.anything(),
    },
    { requiredKeys: [] },
  ),
);

test("fuzz: no message makes a parser throw, and what passes is within its bounds", () => {
  let parsed = 0;
  let passed = 0;
  fc.assert(
    fc.property(anything, (data) => {
      parsed++;
      const message = parseWorkerMessage(data, limits);
      if (message?.vak === "call") expect(message.bytes.byteLength).toBeLessThanOrEqual(limits.callBytes);
      if (message?.vak === "met") {
        expect(message.changes.length + message.readings.length).toBeLessThanOrEqual(2 * MET_AT_ONCE);
        expect(message.readings.every((ms) => Number.isSafeInteger(ms) && ms >= 0)).toBe(true);
      }
      if (message?.vak === "output") expect(message.bytes.byteLength).toBeLessThanOrEqual(OUTPUT_CHUNK);
      const reply = parseReply(data);
      if (reply) expect(typeof reply.id).toBe("string");
      parseAdmitted(data);
      const ended = parseFinished(data, limits);
      if (message || reply || ended) passed++;
      if (ended) expect(ended.files).toMatch(/^[0-9a-f]{64}$/);
      parseFile(data, limits);
      parseFileList(data, limits);
    }),
    { numRuns: 5000 * fuzzFactor },
  );
  console.log(`${parsed} random messages of workers, of which ${passed} passed a parser`);
});

test("honest messages pass unchanged", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  for (const message of [
    { vak: "hello", version: 1 },
    { vak: "call", run: 1, call: 1, fuel: 9, bytes },
    met,
    { ...met, changes: [], readings: Array(MET_AT_ONCE).fill(0) },
    { vak: "output", run: 1, fd: 2, bytes },
  ]) {
    expect(parseWorkerMessage(message, limits)).toEqual(message);
  }
  expect(parseFinished(end, limits)).toEqual(end);
});

const refused: [name: string, change: object][] = [
  ["more fuel than the limit", { fuel: limits.fuel + 1 }],
  ["more memory than the limit", { memoryBytes: limits.memoryBytes + 1 }],
  ["more in files than the limit", { fileBytes: limits.fileBytes + 1 }],
  ["half a byte", { memoryBytes: 0.5 }],
  ["a digest in capitals", { files: "A".repeat(64) }],
  ["a trap that does not exist", { outcome: { status: "trapped", trap: "boredom", message: "" } }],
  ["a message as long as a book", { outcome: { status: "trapped", trap: "other", message: "x".repeat(5000) } }],
  ["a stop at more fuel than the limit", { stop: { at: "check", systemCalls: 1, fuel: limits.fuel + 1 } }],
  ["a stop nowhere", { stop: { at: "once", systemCalls: 1, fuel: 1 } }],
  ["an exit code that no program has", { outcome: { status: "exited", exitCode: 2 ** 32 } }],
];

test.each(refused)("attack: a run's end with %s is no end", (_, change) => {
  expect(parseFinished({ ...end, ...change }, limits)).toBeUndefined();
});

const refusedMet: [name: string, change: object][] = [
  ["no word of where files changed", { changes: undefined }],
  ["a change nowhere", { changes: [null] }],
  ["a change at more fuel than the limit", { changes: [{ at: "check", systemCalls: 0, fuel: limits.fuel + 1 }] }],
  ["changes with holes", { changes: Array(2) }],
  ["more changes than one message has", { changes: Array(MET_AT_ONCE + 1).fill(met.changes[0]) }],
  ["no word of the clock", { readings: undefined }],
  ["a clock that goes back", { readings: [5, -1] }],
  ["half a millisecond", { readings: [0.5] }],
  ["readings with holes", { readings: Array(2) }],
  ["more readings than one message has", { readings: Array(MET_AT_ONCE + 1).fill(0) }],
  ["more fuel than the limit", { fuel: limits.fuel + 1 }],
  ["no fuel", { fuel: undefined }],
  ["no run", { run: "1" }],
];

test.each(refusedMet)("attack: a message of what the guest met with %s is no message", (_, change) => {
  expect(parseWorkerMessage({ ...met, ...change }, limits)).toBeUndefined();
});

test("attack: bytes that the worker could still change are refused", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(10));
  expect(parseWorkerMessage({ vak: "output", run: 1, fd: 1, bytes: shared }, limits)).toBeUndefined();
  expect(parseFile(shared, limits)).toBeUndefined();
});

test("attack: a list of more files than an agent may have is refused", () => {
  const file = { path: "a", type: "file", size: 1 };
  expect(parseFileList([file, file, file], limits)).toHaveLength(3);
  expect(parseFileList([file, file, file, file], limits)).toBeUndefined();
  expect(parseFileList([{ ...file, type: "socket" }], limits)).toBeUndefined();
});
