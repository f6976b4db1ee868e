/** Verification of bundles, intact and tampered with. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { beforeAll, describe, expect, test, vi } from "vitest";
import type { Entry } from "../../../src/audit/entry.ts";
import { commitValue } from "../../../src/audit/value.ts";
import type { Report } from "../../../src/audit/verification/report.ts";
import { verify } from "../../../src/audit/verify.ts";
import { canonicalBytes } from "../../../src/base/canonical.ts";
import { VakError } from "../../../src/errors.ts";
import { decodeEntries, encodeEntries } from "../../../src/tlog/entry-bundle.ts";
import { leafHash, RightEdge } from "../../../src/tlog/merkle.ts";
import { tilePath } from "../../../src/tlog/tiles.ts";
import { verifiedOnce } from "../../setup/verified-once.ts";
import { AGENT, logOpen, MemoryLog, POLICY, scenario, signed } from "./memory-log.ts";

vi.mock("@noble/ed25519", async (original) => verifiedOnce(await original()));

type Files = Map<string, Uint8Array<ArrayBuffer>>;

const DIGEST = bytesToHex(sha256(utf8ToBytes(POLICY)));
const ENTRIES = "tile/entries/000.p/13";
const HASHES = "tile/0/000.p/13";
const POLICY_FILE = `policies/${DIGEST}.cedar`;
let good: Files;

beforeAll(async () => {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  for (const step of scenario(DIGEST)) log.append(...step);
  log.commit();
  good = await log.bundle();
});

const changed = (change: (files: Files) => void): Files => {
  const files = new Map([...good].map(([path, bytes]) => [path, bytes.slice()]));
  change(files);
  return files;
};

async function problems(files: Files): Promise<string[]> {
  const report = await verify(files);
  expect(report.ok).toBe(report.problems.length === 0);
  return report.problems.map(({ where, message }) => `${where}: ${message}`);
}

/** The bundle that someone who holds the key would make of these entries: well signed, whatever they say. */
async function forged(entries: readonly unknown[], change?: (files: Files) => void): Promise<Files> {
  const files = new Map(good);
  files.delete(ENTRIES);
  files.delete(HASHES);
  const width = entries.length;
  const bytes = entries.map((entry) => (entry instanceof Uint8Array ? entry : canonicalBytes(entry)));
  const edge = new RightEdge();
  for (const entry of bytes) edge.append(leafHash(entry));
  files.set(tilePath({ level: "entries", index: 0, width }), encodeEntries(bytes));
  files.set(tilePath({ level: 0, index: 0, width }), new Uint8Array(bytes.flatMap((entry) => [...leafHash(entry)])));
  files.set("checkpoint", utf8(await signed(width, edge.root()).then(({ note }) => note)));
  change?.(files);
  return files;
}

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

function goodEntries(): Entry[] {
  return decodeEntries(good.get(ENTRIES)!, 13).map((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
}

describe("a bundle", () => {
  test("verifies, and the report says what it holds", async () => {
    const { vkey } = await logOpen().then(([draft]) => draft as { vkey: string });
    const report = await verify(good, { keys: [vkey] });
    expect(report).toMatchObject({ ok: true, problems: [], notChecked: [], erased: [], size: 13, keys: [vkey] });
    expect(report.agents).toEqual([AGENT]);
    expect(report.runs).toMatchObject([
      { run: "r1", seq: 5, outcomes: { ok: 1, error: 1, unknown: 0 }, end: { status: "exited", exitCode: 0 } },
    ]);
    expect(report.runs[0]!.calls).toEqual([
      { decision: "allow", action: "call:add", resource: "tool:add", policies: ["policy0"], count: 2 },
      { decision: "deny", action: "call:fetch", resource: "tool:add", policies: [], reason: "no-permit", count: 1 },
    ]);
  });

  test("verified without a key: the report says that the bundle's own key was used", async () => {
    expect((await verify(good)).notChecked.join()).toContain("the key came with the bundle");
  });

  test("is refused when it is signed by another key than the one given, and the key that signed it is named", async () => {
    const { vkey } = await signed(0, new Uint8Array(32));
    const other = await signed(0, new Uint8Array(32), new Uint8Array(32).fill(8));
    expect((await verify(good, { keys: [other.vkey] })).problems).toEqual([
      { where: "checkpoint", message: `The log is signed by ${vkey}, not by the key you gave.` },
    ]);
    await expect(verify(good, { keys: ["nonsense"] })).rejects.toThrow(VakError);
  });

  test("may lack values, and the report lists them", async () => {
    const report = await verify(changed((files) => files.delete("values/7.json")));
    expect(report).toMatchObject({ ok: true, erased: [], missing: [7] });
    expect(report.notChecked.join()).toContain("1 value is not in the bundle, and the log does not say why");
  });

  test("may have values that the log erased, and the report lists them", async () => {
    const log = new MemoryLog();
    log.append(...(await logOpen()));
    for (const step of scenario(DIGEST)) log.append(...step);
    log.commit();
    const kept = (await log.bundle()).get("values/6.json")!;
    log.append({ type: "erase", erases: 6 });
    log.append({ type: "erase", erases: 7 });
    log.commit();
    const files = await log.bundle();
    expect(files.has("values/6.json")).toBe(false);
    const report = await verify(files);
    expect(report).toMatchObject({ ok: true, problems: [], erased: [6, 7], missing: [], entries: { erase: 2 } });
    expect(report.notChecked.join()).toContain("2 values were erased, as the log says");
    // It may still be there from an earlier export: the right value, but one that should be gone.
    files.set("values/6.json", kept);
    const again = await verify(files);
    expect(again).toMatchObject({ ok: true, erased: [7] });
    expect(again.notChecked).toContain("1 value is in the bundle, though the log says that it was erased");
  });

  test("may hold values without their secrets, and the report counts them", async () => {
    const log = new MemoryLog();
    log.append(...(await logOpen()));
    for (const [draft, attached] of scenario(DIGEST)) {
      const secret = draft.type === "intent" && { commitment: commitValue("input", { a: 1, s: "hunter2" }, ["/s"]) };
      log.append(draft, secret || attached);
    }
    log.commit();
    const files = await log.bundle();
    expect(new TextDecoder().decode(files.get("values/6.json")!)).not.toContain("hunter2");
    const report = await verify(files);
    expect(report).toMatchObject({ ok: true, problems: [], withheld: 2 });
    expect(report.notChecked).toContain("2 values were kept without their secrets");
  });

  test("of a log that is still in use: the report says what is open", async () => {
    const report = await verify(
      await forged(goodEntries().slice(0, 7), (files) => {
        for (const seq of [7, 8, 9, 10]) files.delete(`values/${seq}.json`);
      }),
    );
    expect(report).toMatchObject({ ok: true, runs: [{ end: "open" }] });
    expect(report.notChecked.join()).toContain("1 run had not ended");
    expect(report.notChecked.join()).toContain("1 call had no outcome yet");
  });

  test("of an empty log verifies", async () => {
    const log = new MemoryLog();
    expect(await problems(await log.bundle())).toEqual([]);
  });
});

describe("tampering", () => {
  /** Flips, and expects a problem that names the file, or an entry or file beside it. */
  async function expectRefused(path: string, index: number, mask: number): Promise<void> {
    const files = changed((f) => {
      f.get(path)![index]! ^= mask;
    });
    const report: Report = await verify(files);
    const named = report.problems.map(({ where, message }) => `${where} ${message}`).join("\n");
    const at = `${path} byte ${index} mask ${mask}`;
    expect(report.ok, at).toBe(false);
    if (path === ENTRIES || path === HASHES) expect(named, at).toMatch(/tile\/|entry \d+/);
    else if (path === "keys.txt" || path === "checkpoint") expect(named, at).toMatch(/keys\.txt|checkpoint/);
    else expect(named, at).toContain(path);
  }

  test("any byte of any file", async () => {
    for (const [path, bytes] of good) {
      for (let i = 0; i < bytes.length; i++) await expectRefused(path, i, 1 << (i % 8));
    }
  });

  test("any bit of some bytes of each file", async () => {
    for (const [path, bytes] of good) {
      for (let i = 0; i < bytes.length; i += Math.ceil(bytes.length / 7)) {
        for (let bit = 0; bit < 8; bit++) await expectRefused(path, i, 1 << bit);
      }
    }
  });

  test("a file is missing", async () => {
    for (const path of good.keys()) {
      const found = await problems(changed((files) => files.delete(path)));
      if (path.startsWith("values/")) expect(found).toEqual([]);
      else expect(found).toContain(`${path}: the file is missing`);
    }
  });

  test("a file is cut short or made longer", async () => {
    for (const [path, bytes] of good) {
      for (const other of [bytes.slice(0, -1), bytes.slice(1), new Uint8Array(), new Uint8Array([...bytes, 10])]) {
        expect(await problems(changed((files) => files.set(path, other))), path).not.toEqual([]);
      }
    }
  });

  test("two files are swapped", async () => {
    const paths = [...good.keys()];
    for (const a of paths) {
      for (const b of paths.slice(0, paths.indexOf(a))) {
        const found = await problems(changed((files) => files.set(a, good.get(b)!).set(b, good.get(a)!)));
        expect(found, `${a} and ${b}`).not.toEqual([]);
      }
    }
  });

  test("an extra file is a problem, unless the log mentions it", async () => {
    const extra = [
      "readme.txt",
      "tile/0/001",
      "tile/0/000",
      "tile/0/000.p/12",
      "tile/1/000.p/1",
      "tile/entries/000",
      "tile/entries/001.p/1",
      "values/0.json",
      "values/13.json",
      "values/07.json",
      `policies/${"00".repeat(32)}.cedar`,
      "checkpoint.old",
    ];
    for (const path of extra) {
      expect(await problems(changed((files) => files.set(path, good.get(HASHES)!)))).toEqual([
        `${path}: the log does not mention this file`,
      ]);
    }
    for (const path of ["../x", "/etc/passwd", "a//b", "", "a\u001b[31m", "a\\b", ".hidden", "a/./b"]) {
      expect((await problems(changed((files) => files.set(path, utf8("x"))))).join()).toContain("not a path");
    }
  });

  test("entries are swapped, repeated or left out", async () => {
    const entries = decodeEntries(good.get(ENTRIES)!, 13);
    for (let i = 0; i < 12; i++) {
      const swapped = [...entries];
      [swapped[i], swapped[i + 1]] = [swapped[i + 1]!, swapped[i]!];
      expect(await problems(changed((f) => f.set(ENTRIES, encodeEntries(swapped))))).not.toEqual([]);
      const repeated = [...entries.slice(0, i + 1), ...entries.slice(i, 12)];
      expect(await problems(changed((f) => f.set(ENTRIES, encodeEntries(repeated))))).not.toEqual([]);
      const missing = [...entries.slice(0, i), ...entries.slice(i + 1)];
      expect(await problems(changed((f) => f.set(ENTRIES, encodeEntries(missing))))).not.toEqual([]);
    }
  });

  test("the entry that was changed is named", async () => {
    const entries = decodeEntries(good.get(ENTRIES)!, 13).map((bytes) => bytes.slice());
    entries[6]![20]! ^= 1;
    const found = await problems(changed((f) => f.set(ENTRIES, encodeEntries(entries))));
    expect(found.join("\n")).toContain(`${HASHES}: its hash 6 is not that of entry 6`);
  });

  test("an earlier checkpoint of the same log is a problem", async () => {
    const entries = goodEntries().slice(0, 5);
    const earlier = await forged(entries);
    expect(await problems(changed((f) => f.set("checkpoint", earlier.get("checkpoint")!)))).toContain(
      "tile/entries/000.p/5: the file is missing",
    );
  });

  test("verification stops after a hundred problems, and does not trust the checkpoint's size", async () => {
    const many = changed((files) => {
      for (let i = 0; i < 500; i++) files.set(`x${i}`, utf8(""));
    });
    expect((await problems(many)).length).toBe(101);
    const { note } = await signed(Number.MAX_SAFE_INTEGER, new Uint8Array(32));
    expect(await problems(changed((files) => files.set("checkpoint", utf8(note))))).toEqual([
      "tile/entries/000: the file is missing",
    ]);
  });

  test("signatures by unknown keys are ignored, and reported as not checked", async () => {
    const note = new TextDecoder().decode(good.get("checkpoint")!);
    const report = await verify(changed((f) => f.set("checkpoint", utf8(`${note}— witness AAAAAAAAAAA=\n`))));
    expect(report.ok).toBe(true);
    expect(report.notChecked.join()).toContain("1 signature of the checkpoint is by a key that was not given");
  });
});

describe("a log that its own writer forged", () => {
  const edit = (seq: number, change: object) =>
    goodEntries().map((entry, i) => (i === seq ? { ...entry, ...change } : entry));
  const without = (seq: number) =>
    goodEntries()
      .filter((_, i) => i !== seq)
      .map((entry, i) => ({ ...entry, seq: i }));
  const insert = (at: number, entry: object) => {
    const entries: object[] = goodEntries();
    entries.splice(at, 0, entry);
    return entries.map((e, i) => ({ ...e, seq: i }));
  };

  const part = (part: number) => ({
    ...{ v: 1, type: "trace", time: 0, agent: AGENT, run: "r1", part, traceDigest: DIGEST },
  });

  test("verifies if nothing is wrong", async () => {
    expect(await problems(await forged(goodEntries()))).toEqual([]);
    expect(await problems(await forged(insert(11, part(1))))).toEqual([]);
  });

  const cases: [what: string, entries: () => readonly unknown[], message: RegExp][] = [
    ["seq is not the index", () => edit(3, { seq: 4 }), /entry 3 .*its seq is 4, but its place is 3/],
    ["time is not a whole number", () => edit(3, { time: 1.5 }), /entry 3 .*agent-spawn.time is not valid/],
    ["time is negative", () => edit(3, { time: -1 }), /entry 3 .*agent-spawn.time is not valid/],
    ["another version", () => edit(3, { v: 2 }), /entry 3 .*agent-spawn.v is not valid/],
    ["an unknown type", () => edit(3, { type: "other" }), /entry 3 .*no type "other"/],
    ["a type of Object.prototype", () => edit(3, { type: "constructor" }), /entry 3 .*no type "constructor"/],
    ["an unknown field", () => edit(3, { extra: 1 }), /entry 3 .*no field "extra"/],
    ["an intent that was not allowed", () => edit(6, { decision: "deny" }), /entry 6 .*intent.decision is not valid/],
    [
      "an intent under a policy that was not loaded",
      () => edit(6, { policyDigest: "11".repeat(32) }),
      /entry 6 .*no policy/,
    ],
    [
      "a denial under a policy that was not loaded",
      () => edit(8, { policyDigest: "11".repeat(32) }),
      /entry 8 .*no policy/,
    ],
    ["an outcome before its intent", () => edit(7, { intentOf: 9 }), /entry 7 .*entry 9 is not an open intent/],
    [
      "an outcome of an entry that is not an intent",
      () => edit(7, { intentOf: 5 }),
      /entry 7 .*entry 5 is not an open intent/,
    ],
    ["two outcomes of one intent", () => insert(8, goodEntries()[7]!), /entry 8 .*entry 6 is not an open intent/],
    ["an outcome of another call", () => edit(7, { call: 5 }), /entry 7 .*another run or call/],
    [
      "an intent without an outcome",
      () => without(10),
      /entry 10 .*run-end is out of order: an intent of the run has no/,
    ],
    ["an ok outcome without an output", () => edit(7, { outputDigest: null }), /entry 7 .*has an outputDigest/],
    ["a call before its run", () => without(5), /entry 5 .*no open run "r1"/],
    ["a call after its run", () => insert(12, goodEntries()[6]!), /entry 12 .*no open run "r1"/],
    ["a run of an agent that was not spawned", () => without(3), /entry 4 .*no open agent "a1"/],
    [
      "an agent with another program",
      () => edit(5, { agent: { ...AGENT, program: "00".repeat(32) } }),
      /entry 5 .*another name or/,
    ],
    [
      "a part of a trace before its first",
      () => insert(11, part(2)),
      /entry 11 .*it is part 2 .* where part 1 is next/,
    ],
    [
      "a part of a trace without a number",
      () => insert(11, part(0)),
      /entry 11 .*it is part 0 .* where part 1 is next/,
    ],
    ["a part of a trace after its run", () => insert(12, part(1)), /entry 12 .*no open run "r1"/],
    [
      "a part of a trace of another agent",
      () => insert(11, { ...part(1), agent: { ...AGENT, id: "a2" } }),
      /entry 11 .*no open agent "a2"/,
    ],
    [
      "a part of a trace without a digest",
      () => insert(11, { ...part(1), traceDigest: null }),
      /entry 11 .*trace.traceDigest is not valid/,
    ],
    ["a run that ended in two ways", () => edit(11, { trap: "stack" }), /entry 11 .*did not also end in another way/],
    ["a run that does not say how it ended", () => edit(11, { exitCode: null }), /entry 11 .*says how/],
    ["an agent closed during its run", () => without(11), /entry 11 .*has not ended/],
    ["no log-open", () => without(0), /entry 0 .*log-open is the first entry/],
    [
      "the same part of a trace twice",
      () => {
        const entries = insert(11, part(1));
        entries.splice(12, 0, part(1) as never);
        return entries.map((entry, seq) => ({ ...entry, seq }));
      },
      /entry 12 .*it is part 1 .* where part 2 is next/,
    ],
    ["two log-opens", () => insert(1, goodEntries()[0]!), /entry 1 .*log-open is the first entry/],
    ["another origin", () => edit(0, { origin: "vak.invalid/other" }), /entry 0 .*origin is not the checkpoint's/],
    ["another key", () => edit(0, { vkey: "other" }), /entry 0 .*not signed by the key that this entry names/],
    ["a policy that replaces another", () => edit(1, { previous: DIGEST }), /entry 1 .*previous is not/],
    [
      "an erasure of a later entry's value",
      () => insert(12, { v: 1, type: "erase", time: 0, erases: 12 }),
      /entry 12 .*does not exist yet/,
    ],
    [
      "an erasure of a value that never existed",
      () => insert(12, { v: 1, type: "erase", time: 0, erases: 3 }),
      /entry 12 .*entry 3 has no value/,
    ],
    [
      "a recovery that counts what was not open",
      () => insert(12, { v: 1, type: "recovery", time: 0, intents: 0, runs: 1, agents: 1 }),
      /entry 12 .*counts/,
    ],
    [
      "an entry that is not canonical",
      () => goodEntries().map((e, i) => (i === 2 ? utf8(JSON.stringify(e, null, 1)) : e)),
      /entry 2 .*not canonical/,
    ],
    ["an entry that is not JSON", () => goodEntries().map((e, i) => (i === 2 ? utf8("{") : e)), /entry 2 .*not JSON/],
    [
      "an entry that is empty",
      () => goodEntries().map((e, i) => (i === 2 ? new Uint8Array() : e)),
      /entry 2 .*not JSON/,
    ],
    [
      "an entry that is not an object",
      () => goodEntries().map((e, i) => (i === 2 ? [] : e)),
      /entry 2 .*not an object/,
    ],
  ];

  test.each(cases)("%s", async (_, entries, message) => {
    const found = await problems(await forged(entries()));
    expect(found.join("\n")).toMatch(message);
  });

  test("each field of each entry is required, with a value of its type", async () => {
    for (const [seq, entry] of goodEntries().entries()) {
      for (const field of Object.keys(entry)) {
        const { [field as keyof Entry]: _, ...rest } = entry;
        for (const other of [rest, { ...entry, [field]: { no: "such" } }]) {
          const found = await problems(await forged(goodEntries().map((e, i) => (i === seq ? other : e))));
          expect(found.join("\n"), `${entry.type}.${field}`).toMatch(new RegExp(`entry ${seq} `));
        }
      }
    }
  });

  test("another value than the one committed to is a problem", async () => {
    const values: [string, string][] = [
      ["another value", '{"input":{"salt":"SALT","value":{"a":2,"b":2.5}}}'],
      ["another salt", '{"input":{"salt":"00000000000000000000000000000000","value":{"a":1,"b":2.5}}}'],
      ["an output", '{"output":{"salt":"SALT","value":{"a":1,"b":2.5}}}'],
      ["both", '{"input":{"salt":"SALT","value":{"a":1,"b":2.5}},"output":{"salt":"SALT","value":1}}'],
      ["an extra field", '{"input":{"extra":1,"salt":"SALT","value":{"a":1,"b":2.5}}}'],
      ["no salt", '{"input":{"value":{"a":1,"b":2.5}}}'],
      ["null", "null"],
      ["a list", "[]"],
      ["the value spelled in another way", '{"input":{"salt":"SALT","value":{"b":2.5,"a":1}}}'],
    ];
    const salt = JSON.parse(new TextDecoder().decode(good.get("values/6.json")!)).input.salt;
    for (const [what, text] of values) {
      const found = await problems(changed((f) => f.set("values/6.json", utf8(text.replaceAll("SALT", salt)))));
      expect(found.join(), what).toMatch(/^values\/6\.json: /);
    }
  });

  test("a policy with another digest than its name is a problem", async () => {
    expect(await problems(changed((f) => f.set(POLICY_FILE, utf8(`${POLICY}\n`))))).toEqual([
      `${POLICY_FILE}: its text does not have that digest`,
    ]);
  });

  test("a key in keys.txt that did not sign is a problem", async () => {
    const other = await signed(0, new Uint8Array(32), new Uint8Array(32).fill(8));
    const both = utf8(`${new TextDecoder().decode(good.get("keys.txt")!)}${other.vkey}\n`);
    expect((await problems(changed((f) => f.set("keys.txt", both)))).join()).toContain(
      "keys.txt: the log does not mention the key",
    );
    const twice = utf8(new TextDecoder().decode(good.get("keys.txt")!).repeat(2));
    expect((await problems(changed((f) => f.set("keys.txt", twice)))).join()).toContain(
      "keys.txt: it holds a key twice",
    );
  });
});

test("a larger log, with full tiles, verifies, and does not when any file of it is changed", async () => {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  for (let i = 1; i < 600; i++) log.append({ type: "policy-refused", textDigest: "00".repeat(32), message: `${i}` });
  log.commit();
  const files = await log.bundle();
  expect([...files.keys()].filter((path) => path.startsWith("tile/0/") || path.startsWith("tile/1/"))).toEqual([
    "tile/0/000",
    "tile/0/001",
    "tile/0/002.p/88",
    "tile/1/000.p/2",
  ]);
  expect(await problems(files)).toEqual([]);
  for (const [path, bytes] of files) {
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const flipped = new Map(files).set(
        path,
        bytes.map((byte, i) => (i === at ? byte ^ 4 : byte)),
      );
      expect(await problems(flipped), path).not.toEqual([]);
    }
    const without = new Map(files);
    without.delete(path);
    expect(await problems(without)).toContain(`${path}: the file is missing`);
  }
  const swapped = new Map(files)
    .set("tile/0/000", files.get("tile/0/001")!)
    .set("tile/0/001", files.get("tile/0/000")!);
  expect(await problems(swapped)).not.toEqual([]);
  const shrunk = new Map(files);
  shrunk.delete("tile/0/002.p/88");
  shrunk.set("tile/0/002.p/87", files.get("tile/0/002.p/88")!.slice(0, -32));
  expect(await problems(shrunk)).toContain("tile/0/002.p/88: the file is missing");
});
