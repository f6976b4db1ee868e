/** The entries of the log: encoded, decoded, refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, encodeEntry, parseEntry } from "../../../src/audit/entry.ts";
import { Order } from "../../../src/audit/order.ts";
import { commitValue } from "../../../src/audit/value.ts";
import { openValue } from "../../../src/audit/value-opening.ts";
import { canonicalBytes } from "../../../src/base/canonical.ts";
import { VakError } from "../../../src/errors.ts";
import { Writer } from "../../../src/log/writer.ts";
import { parseCheckpoint } from "../../../src/tlog/checkpoint.ts";
import { AGENT, logOpen, MemoryLog, scenario } from "./memory-log.ts";

const DIGEST = "2afdcf0ad75d598ab5a4134b31db856af2b26885938f98d32b051fbd71a484e8";

async function entries(): Promise<Entry[]> {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  for (const step of scenario(DIGEST)) log.append(...step);
  log.commit();
  return log.stored.map(parseEntry);
}

/** Hostile input is refused with a VakError, never with anything else. */
function refused(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(VakError);
  }
}

describe("entries", () => {
  test("are read as they were written", async () => {
    for (const entry of await entries()) expect(parseEntry(encodeEntry(entry))).toEqual(entry);
  });

  test("random JSON is accepted or refused with a VakError, also as a field of an entry", async () => {
    const good = await entries();
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        if ([value].flat().every((v) => typeof v !== "string" || v.isWellFormed())) {
          refused(() => parseEntry(canonicalBytes(value)));
        }
      }),
    );
    const anyField = fc.constantFrom("agent", "args", "limits", "usage", "type", "seq", "call", "policies", "message");
    fc.assert(
      fc.property(
        fc.constantFrom(...good),
        anyField,
        fc.jsonValue({ noUnicodeString: true }),
        (entry, field, value) => {
          const bytes = canonicalBytes({ ...entry, [field]: value });
          refused(() => new Order().accept(parseEntry(bytes)));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("of 65,535 bytes are accepted, longer ones are refused", () => {
    const longest = (length: number): Entry => ({
      v: 1,
      seq: 0,
      time: 0,
      type: "policy-refused",
      textDigest: DIGEST,
      message: "x".repeat(length),
    });
    const room = 65_535 - encodeEntry(longest(0)).length;
    expect(encodeEntry(longest(room)).length).toBe(65_535);
    expect(() => encodeEntry(longest(room + 1))).toThrow("65536 bytes");
  });
});

describe("the writer", () => {
  test("is unchanged after it refused an entry", async () => {
    const [draft] = await logOpen();
    const [clean, other] = [new Writer(), new Writer()];
    for (const writer of [clean, other]) writer.append(draft, {}, 0);
    for (const wrong of [
      () => other.append({ type: "agent-close", agent: AGENT }),
      () => other.append({ type: "policy-load", policies: [] }),
      () => other.append({ type: "policy-load", policies: [] }, { policy: "x", input: 1 }),
      () => other.append({ type: "policy-refused", textDigest: "", message: "" }),
      () => other.append({ type: "policy-refused", textDigest: DIGEST, message: "x".repeat(70_000) }),
      () => other.append({ type: "agent-close", agent: AGENT }, { input: undefined, output: 1 }),
    ]) {
      expect(wrong).toThrow(VakError);
    }
    for (const writer of [clean, other]) writer.append({ type: "policy-load", policies: [] }, { policy: "p" }, 0);
    expect(other.take()).toEqual(clean.take());
    expect(other.take()).toBeUndefined();
  });

  test("stores the text of a policy once, with the entry that first loaded it", async () => {
    const log = new MemoryLog();
    log.append(...(await logOpen()));
    for (const policy of ["a", "b", "a"]) log.append({ type: "policy-load", policies: [] }, { policy });
    log.commit();
    expect(log.texts.map(({ text, seq }) => [text, seq])).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
    const loads = log.stored.slice(1).map((bytes) => parseEntry(bytes) as Extract<Entry, { type: "policy-load" }>);
    expect(loads.map(({ previous }) => previous)).toEqual([null, loads[0]!.policyDigest, loads[1]!.policyDigest]);
  });
});

describe("private values", () => {
  test("are committed to with a fresh salt, and can be opened", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: true }), (value) => {
        const [one, two] = [commitValue("input", value), commitValue("input", value)];
        expect(one.digest).not.toBe(two.digest);
        expect(canonicalBytes(openValue(one.file, "input", one.digest).value)).toEqual(canonicalBytes(value));
        expect(() => openValue(one.file, "input", two.digest)).toThrow(VakError);
        expect(() => openValue(one.file, "output", one.digest)).toThrow(VakError);
      }),
    );
  });

  test("are committed to by the hash that `value.ts` describes", async () => {
    const { digest, file } = commitValue("output", { b: 1.5, a: "é" });
    const { salt } = JSON.parse(new TextDecoder().decode(file)).output;
    const bytes = Buffer.concat([Buffer.from(salt, "hex"), Buffer.from('{"a":"é","b":1.5}')]);
    expect(Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex")).toBe(digest);
    expect(salt).toMatch(/^[0-9a-f]{32}$/);
  });

  test("random files are refused", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => refused(() => openValue(bytes, "input", DIGEST))));
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: true }), (value) => {
        expect(() => openValue(canonicalBytes({ input: value }), "input", DIGEST)).toThrow(VakError);
        expect(() => openValue(canonicalBytes(value), "input", DIGEST)).toThrow(VakError);
      }),
    );
  });
});

test("random checkpoints are accepted or refused with a VakError", () => {
  const part = fc.constantFrom("origin", "\n", "1", "0", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "-", " ");
  fc.assert(
    fc.property(fc.array(part), (parts) => refused(() => parseCheckpoint(parts.join("")))),
    { numRuns: 2000 },
  );
});
