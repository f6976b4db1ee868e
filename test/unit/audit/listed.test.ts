/** Which tools a tools-listed entry may name. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { beforeEach, expect, test } from "vitest";
import { AGENT, logOpen, MemoryLog, POLICY } from "./memory-log.ts";

const policyDigest = bytesToHex(sha256(utf8ToBytes(POLICY)));

let log: MemoryLog;
beforeEach(async () => {
  log = new MemoryLog();
  log.append(...(await logOpen()));
  log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
  const spawned = { limits: {}, seed: 1, isolation: "opaque", machine: "m", grants: ["add", "mail"] } as const;
  log.append({ type: "agent-spawn", agent: AGENT, ...spawned, grants: [...spawned.grants] });
  log.append({ type: "run-start", agent: AGENT, run: "a/1", args: [], env: [], startTime: 0 });
});

const listed = (tools: string[], digest = policyDigest, resource: string = "vak.tools") =>
  log.append({
    type: "tools-listed",
    agent: AGENT,
    run: "a/1",
    call: 1,
    resource: resource as "vak.tools",
    tools,
    policyDigest: digest,
  });

test("attack: a forged log in which an agent got a list with a tool that it has no right to", () => {
  listed([]);
  listed(["add", "mail"]);
  expect(() => listed(["add", "wipe"])).toThrow('the list names "wipe", to which the agent has no right');
  log.append({ type: "agent-attenuate", agent: AGENT, grants: ["mail"] });
  expect(() => listed(["add"])).toThrow('the list names "add"');
  log.append({ type: "agent-revoke", agent: AGENT });
  expect(() => listed(["mail"])).toThrow('the list names "mail"');
  listed([]);
});

test("the entry names a policy that was loaded, or none, and no resource but vak.tools", () => {
  listed(["add"], "" as typeof policyDigest);
  expect(() => listed(["add"], "00".repeat(32))).toThrow("no policy with the digest");
  expect(() => listed(["add"], policyDigest, "add")).toThrow("tools-listed.resource is not valid");
});
