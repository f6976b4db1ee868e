/** The order of approval entries, which the writer and the verifier enforce alike. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { beforeEach, describe, expect, test } from "vitest";
import type { Draft } from "../../../src/audit/entry.ts";
import { verify } from "../../../src/audit/verify.ts";
import type { Attached } from "../../../src/log/writer.ts";
import { AGENT, logOpen, MemoryLog, POLICY } from "./memory-log.ts";

const policyDigest = bytesToHex(sha256(utf8ToBytes(POLICY)));
const otherPolicy = "forbid (principal, action, resource);";
const position = { agent: AGENT, run: "r1", call: 1 };
const call = { ...position, action: "call:add", resource: "add", callDigest: "cd".repeat(32) };
const decided = { policies: ["policy0"], policyDigest };

const request = (more: object = {}): Draft =>
  ({ type: "approval-request", ...call, ...decided, inputDigest: "ab".repeat(32), expires: 5, ...more }) as Draft;
const approval = (requestOf: number, more: object = {}): Draft =>
  ({
    ...{ type: "approval", ...position, requestOf, callDigest: call.callDigest },
    ...{ verdict: "granted", by: "ann", scope: "call", ...more },
  }) as Draft;
const intent = (more: object = {}): Draft =>
  ({ type: "intent", ...call, ...decided, decision: "allow", facts: { approved: true }, ...more }) as Draft;
const denial = (more: object = {}): Draft =>
  ({
    ...{ type: "denial", ...call, ...decided, decision: "deny", reason: "approval-refused", errors: [] },
    ...{ facts: { approved: false }, ...more },
  }) as Draft;
const input: Attached = { input: { a: 1 } };
const runEnd = (run = "r1"): Draft => ({
  ...{ type: "run-end", agent: AGENT, run, status: "exited", exitCode: 0 },
  ...{ trap: null, limit: null, message: null, usage: {}, digest: null, untraced: "no run" },
});

let log: MemoryLog;
beforeEach(async () => {
  log = new MemoryLog();
  log.append(...(await logOpen()));
  log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
  log.append({ type: "agent-spawn", agent: AGENT, limits: {}, seed: 1, isolation: "opaque", machine: "m" });
  for (const run of ["r1", "r2"]) {
    log.append({ type: "run-start", agent: AGENT, run, args: [], env: [], startTime: 0 });
  }
});

const refused = (draft: Draft, attached: Attached | undefined, why: string) =>
  expect(() => log.append(draft, attached)).toThrow(why);

describe("in order", () => {
  test("a request, its approval, the intent; and the report says who approved", async () => {
    const seq = log.append(intent({ approval: log.append(approval(log.append(request()))) }), input);
    log.append({ type: "outcome", ...position, intentOf: seq, status: "ok", error: null }, { output: 1 });
    log.append(runEnd());
    log.append(runEnd("r2"));
    log.commit();
    const report = await verify(await log.bundle());
    expect(report.problems).toEqual([]);
    expect(report.runs[0]!.calls).toMatchObject([{ decision: "allow", action: "call:add", approvedBy: "ann" }]);
  });

  test("an approval for the run serves each call of the same tool", () => {
    const seq = log.append(approval(log.append(request()), { scope: "run" }));
    for (const number of [1, 2]) {
      log.append(intent({ approval: seq, call: number, callDigest: `${number}0`.repeat(32) }), input);
    }
  });

  test.each(["refused", "expired", "withdrawn", "failed"])("an approval that was %s, and the denial", (verdict) => {
    const by = verdict === "refused" ? "ann" : null;
    const seq = log.append(approval(log.append(request()), { verdict, by, scope: null }));
    log.append(denial({ approval: seq }), input);
    log.append(runEnd());
  });

  test("a call that was approved and then forbidden by the policy", () => {
    const seq = log.append(approval(log.append(request())));
    log.append(denial({ approval: seq, reason: "forbidden", facts: { approved: true } }), input);
  });
});

describe("out of order", () => {
  test("an approval before its request, without one, or twice", () => {
    refused(approval(1), undefined, "entry 1 is not an open request");
    const asked = log.append(request());
    log.append(approval(asked));
    refused(approval(asked), undefined, `entry ${asked} is not an open request`);
  });

  test("an approval of another call", () => {
    const asked = log.append(request());
    for (const more of [{ call: 2 }, { run: "r2" }, { callDigest: "00".repeat(32) }]) {
      refused(approval(asked, more), undefined, "is of another call");
    }
  });

  test("an intent while its request has no answer", () => {
    log.append(request());
    refused(intent({ facts: { approved: false } }), input, "a request for this call has no answer");
    refused(denial(), input, "a request for this call has no answer");
  });

  test("an intent that says it was approved, without an approval", () => {
    refused(intent(), input, "names no approval");
    refused(intent({ approval: 2 }), input, "entry 2 is not an approval");
  });

  test("an intent by an approval that was not granted", () => {
    const seq = log.append(approval(log.append(request()), { verdict: "refused", scope: null }));
    refused(intent({ approval: seq }), input, "contradicts what it was decided with");
    refused(intent({ approval: seq, facts: { approved: false } }), input, "was not granted");
  });

  test("an approval that is used twice", () => {
    const seq = log.append(approval(log.append(request())));
    log.append(intent({ approval: seq }), input);
    refused(intent({ approval: seq }), input, "was used already");
    refused(intent({ approval: seq, call: 2 }), input, "is of another call");
    refused(intent({ approval: seq, run: "r2" }), input, "is of another run");
  });

  test("an approval for another input, tool or policy", () => {
    const one = log.append(approval(log.append(request())));
    refused(intent({ approval: one, callDigest: "00".repeat(32) }), input, "is of another call");
    log.append({ type: "policy-load", policies: ["policy0"] }, { policy: otherPolicy });
    const other = bytesToHex(sha256(utf8ToBytes(otherPolicy)));
    refused(intent({ approval: one, policyDigest: other }), input, "under another policy");
    const run = log.append(approval(log.append(request({ call: 2 })), { call: 2, scope: "run" }));
    refused(intent({ approval: run, action: "call:wipe", resource: "wipe" }), input, "for another tool");
    refused(intent({ approval: run, policyDigest: other }), input, "under another policy");
  });

  test("an approval of a run that has ended", () => {
    const seq = log.append(approval(log.append(request()), { scope: "run" }));
    log.append(runEnd());
    log.append({ type: "run-start", agent: AGENT, run: "r1", args: [], env: [], startTime: 0 });
    refused(intent({ approval: seq }), input, "is not an approval in this run");
  });

  test("a run that ends while a request has no answer", () => {
    log.append(request());
    refused(runEnd(), undefined, "a request of the run has no answer");
    log.append(runEnd("r2"));
  });

  test("a request under a policy that was not loaded", () => {
    refused(request({ policyDigest: "00".repeat(32) }), undefined, "no policy with the digest");
  });

  test.each([
    ["that nobody granted", { by: null }],
    ["granted without a scope", { scope: null }],
    ["refused with a scope", { verdict: "refused", scope: "run" }],
    ["expired, but answered by someone", { verdict: "expired", scope: null }],
    ["with an unknown verdict", { verdict: "maybe" }],
    ["with an unknown scope", { scope: "agent" }],
  ])("an approval %s", (_, more) => {
    const asked = log.append(request());
    refused(approval(asked, more), undefined, "This cannot be logged");
    log.append(approval(asked));
  });
});
