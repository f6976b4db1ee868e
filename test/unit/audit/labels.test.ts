/** Decisions must have been made with exactly the labels that the agent had. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { beforeEach, expect, test } from "vitest";
import { areLabels, joinLabels } from "../../../src/labels.ts";
import { AGENT, logOpen, MemoryLog, POLICY } from "./memory-log.ts";

const policyDigest = bytesToHex(sha256(utf8ToBytes(POLICY)));
const child = { ...AGENT, id: "a2" };
const spawn = { type: "agent-spawn", limits: {}, seed: 1, isolation: "opaque", machine: "m" } as const;

let log: MemoryLog;
beforeEach(async () => {
  log = new MemoryLog();
  log.append(...(await logOpen()));
  log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
  log.append({ ...spawn, agent: AGENT, labels: ["b"] });
  log.append({ type: "run-start", agent: AGENT, run: "r", args: [], env: [], startTime: 0, labels: ["a", "c"] });
});

const position = { agent: AGENT, run: "r", call: 1 };
const call = { ...position, action: "call:add", resource: "add", callDigest: "cd".repeat(32), policyDigest };
const intent = (facts?: object): number =>
  log.append(
    { type: "intent", ...call, decision: "allow", policies: ["policy0"], ...(facts && { facts: { ...facts } }) },
    { input: {} },
  );
const denial = (facts: object, callDigest: string | null = call.callDigest) =>
  log.append({
    ...{ type: "denial", ...call, callDigest, decision: "deny", reason: "no-permit", policies: [], errors: [] },
    facts: { ...facts },
  });
const declassify = (labels: string[], agent = AGENT) =>
  log.append({ type: "agent-declassify", agent, labels, by: "ann", reason: "because" });
const other = "not decided with the labels that the agent had: a, b, c";

test.each<[string, object | undefined]>([
  ["no facts and none", undefined],
  ["no", {}],
  ["fewer", { labels: ["a", "b"] }],
  ["more", { labels: ["a", "b", "c", "d"] }],
  ["others", { labels: ["a", "b", "d"] }],
  ["in another order", { labels: ["b", "a", "c"] }],
  ["lists that look the same", { labels: [["a"], "b", "c"] }],
  ["a text that looks the same", { labels: "abc" }],
])("attack: a forged log in which a call was decided with other labels than the agent's: %s", (_, facts) => {
  expect(() => intent(facts)).toThrow(other);
  expect(() => denial(facts ?? {})).toThrow(other);
  intent({ labels: ["a", "b", "c"] });
  denial({ labels: ["a", "b", "c"] });
  denial({}, null); // it was refused before any decision
});

test("labels come with spawn, runs, answers and agent-label; only declassifying removes them, and they can come back", () => {
  log.append({ type: "agent-label", agent: AGENT, labels: ["a", "d"] });
  const intentOf = intent({ labels: ["a", "b", "c", "d"] });
  declassify(["a", "b"]);
  log.append({ type: "outcome", ...position, intentOf, status: "ok", error: null, labels: ["b"] }, { output: "" });
  intent({ labels: ["b", "c", "d"] });
  expect(() => declassify(["a"])).toThrow('the agent has no label "a"');
  expect(() => declassify(["c"], child)).toThrow("there is no open agent");
});

test("attack: a forged log in which an approval predates a label of its agent", () => {
  const asked = { action: "call:add", resource: "add", inputDigest: "00".repeat(32), policies: [], policyDigest };
  const request = { type: "approval-request", ...position, ...asked, callDigest: call.callDigest, expires: 0 } as const;
  const requestOf = log.append(request);
  const answer = { verdict: "granted", by: "ann", scope: "run" } as const;
  const approval = log.append({ type: "approval", ...position, requestOf, callDigest: call.callDigest, ...answer });
  const approved = (labels: string[]) => {
    const facts = { labels, approved: true };
    const decided = { decision: "allow" as const, policies: ["policy0"], facts, approval };
    return log.append({ type: "intent", ...call, ...decided }, { input: {} });
  };
  approved(["a", "b", "c"]);
  log.append({ type: "agent-label", agent: AGENT, labels: ["d"] });
  expect(() => approved(["a", "b", "c", "d"])).toThrow("predates a change of the agent's labels");
  declassify(["d"]);
  approved(["a", "b", "c"]);
});

test("attack: a forged log in which a child lacks a label of its parent", () => {
  log.append({ type: "agent-label", agent: AGENT, labels: ["d"] });
  const of = { ...spawn, agent: child, parent: AGENT.id };
  expect(() => log.append(of)).toThrow('its parent has the label "a", which it lacks');
  expect(() => log.append({ ...of, labels: ["a", "b", "c"] })).toThrow('has the label "d"');
  log.append({ ...of, labels: ["a", "b", "c", "d", "e"] });
});

test.each([[[]], [["b", "a"]], [["a", "a"]], [["a b"]], [[1]], ["a"], [null], [Array(65).fill("a")]])(
  "labels that are malformed, unordered or repeated are refused: %j",
  (labels) => {
    expect(areLabels(labels)).toBe(false);
    expect(() => log.append({ type: "agent-label", agent: AGENT, labels: labels as string[] })).toThrow("not valid");
  },
);

test("joined labels are unique and in order", () => {
  expect(joinLabels([["b", "a"], ["c:1", "a"], []])).toEqual(["a", "b", "c:1"]);
  expect(areLabels(joinLabels([["b", "a"], ["c:1"]]))).toBe(true);
});

test("attack: a log with more labelled entries than a function takes arguments", () => {
  expect(joinLabels(Array(300_000).fill(["a"]))).toEqual(["a"]);
});
