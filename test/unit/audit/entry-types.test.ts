/** The types that are inferred from the vocabulary are the ones that people would write by hand; `tsc` checks this. */
import { expectTypeOf, test } from "vitest";
import type { ENTRY_TYPES } from "../../../src/audit/entry.ts";
import type * as audit from "../../../src/audit/index.ts";
import type { AgentDeclassify, AgentLabel } from "../../../src/audit/vocabulary/agent.ts";
import type { ToolsListed } from "../../../src/audit/vocabulary/call.ts";
import type { MountRead, MountRef, MountWrite, MountWritten } from "../../../src/audit/vocabulary/mount.ts";

interface Common {
  v: 1;
  seq: number;
  time: number;
}

interface Call extends Common {
  agent: audit.AgentRef;
  run: string;
  call: number;
}

interface Decided {
  facts?: { readonly [name: string]: unknown };
  approval?: number;
  redacted?: string[];
  shadow?: { decision: "allow" | "deny" | "ask"; policies: string[]; reason?: string; errors: string[] };
}

type Flat<T> = { [K in keyof T]: T[K] };

/** Needs an argument, which nobody has, unless the types are the same: optional, readonly and literal types too. */
function same<Inferred, Written>(
  ..._different: (<T>() => T extends Inferred ? 1 : 2) extends <T>() => T extends Flat<Written> ? 1 : 2 ? [] : [never]
): void {}

test("each entry's type has the fields that are declared, required or optional, and no others", () => {
  same<audit.AgentRef, { name: string; id: string; program: string }>();
  same<
    audit.LogOpen,
    Common & {
      type: "log-open";
      origin: string;
      vkey: string;
      signer: "webcrypto" | "noble" | "custom";
      extractable: boolean | null;
    }
  >();
  same<
    audit.PolicyLoad,
    Common & {
      type: "policy-load";
      policyDigest: string;
      previous: string | null;
      policies: string[];
      baseDigest?: string;
    }
  >();
  same<
    MountRef,
    {
      path: string;
      from: "files" | "directory" | "persist" | "agent";
      name?: string;
      readOnly: boolean;
      quotaBytes: number;
      digest: string;
    }
  >();
  same<
    audit.AgentSpawn,
    Common & {
      type: "agent-spawn";
      agent: audit.AgentRef;
      limits: Record<string, number>;
      seed: number;
      isolation: string;
      machine: string;
      parent?: string;
      grants?: string[];
      mounts?: MountRef[];
      labels?: string[];
    }
  >();
  same<AgentLabel, Common & { type: "agent-label"; agent: audit.AgentRef; labels: string[] }>();
  same<MountRead, Common & { type: "mount-read"; agent: audit.AgentRef; mount: string; digest: string }>();
  same<
    audit.Lease,
    Common & {
      type: "lease";
      agent: audit.AgentRef;
      permit: string;
      policies: string[];
      policyDigest: string;
      until: number | null;
    }
  >();
  same<
    audit.RunStart,
    Common & {
      type: "run-start";
      agent: audit.AgentRef;
      run: string;
      args: string[];
      env: string[];
      startTime: number;
      clock?: "real";
      inputDigest: string | null;
      continues?: { run: string; call: number };
      labels?: string[];
    }
  >();
  same<
    audit.Approval,
    Call & {
      type: "approval";
      requestOf: number;
      callDigest: string;
      verdict: "granted" | "refused" | "expired" | "withdrawn" | "failed";
      by: string | null;
      scope: "call" | "run" | null;
    }
  >();
  same<
    audit.Intent,
    Call &
      Decided & {
        type: "intent";
        action: string;
        resource: string;
        inputDigest: string;
        callDigest: string;
        decision: "allow";
        lease?: number;
        policies: string[];
        policyDigest: string;
      }
  >();
  same<
    audit.Denial,
    Call &
      Decided & {
        type: "denial";
        action: string;
        resource: string;
        inputDigest: string | null;
        callDigest: string | null;
        decision: "deny";
        reason: string;
        policies: string[];
        errors: string[];
        policyDigest: string;
      }
  >();
  same<
    audit.Outcome,
    Call & {
      type: "outcome";
      intentOf: number;
      status: "ok" | "error" | "unknown";
      outputDigest: string | null;
      error: string | null;
      cost?: { readonly [unit: string]: number };
      labels?: string[];
    }
  >();
  same<ToolsListed, Call & { type: "tools-listed"; resource: "vak.tools"; tools: string[]; policyDigest: string }>();
  same<
    audit.RunEnd,
    Common & {
      type: "run-end";
      agent: audit.AgentRef;
      run: string;
      status: "exited" | "trapped" | "stopped" | "failed";
      exitCode: number | null;
      trap: string | null;
      limit: string | null;
      message: string | null;
      usage: Record<string, number>;
      digest: string | null;
      traceDigest: string | null;
      untraced: string | null;
    }
  >();
});

test("the comparison notices what differs", () => {
  // @ts-expect-error optional
  same<{ a?: string }, { a: string }>();
  // @ts-expect-error readonly
  same<{ readonly a: string }, { a: string }>();
  // @ts-expect-error wider
  same<{ a: string }, { a: "x" }>();
  // @ts-expect-error another field
  same<{ a: string; b: string }, { a: string }>();
});

test("an entry is narrowed by its type, and every declared type is in the union", () => {
  expectTypeOf<(typeof ENTRY_TYPES)[number]>().toEqualTypeOf<audit.EntryType>();
  expectTypeOf<Extract<audit.Entry, { type: "intent" }>>().toEqualTypeOf<audit.Intent>();
  expectTypeOf<Extract<audit.Entry, { type: "mount-write" }>>().toEqualTypeOf<MountWrite>();
  expectTypeOf<Extract<audit.Entry, { type: "mount-written" }>>().toEqualTypeOf<MountWritten>();
  expectTypeOf<Extract<audit.Entry, { type: "agent-declassify" }>>().toEqualTypeOf<AgentDeclassify>();
  expectTypeOf<audit.EntryType>().toEqualTypeOf<
    | "log-open"
    | "key-rotation"
    | "recovery"
    | "erase"
    | "policy-load"
    | "policy-refused"
    | "lease"
    | "lease-end"
    | "agent-spawn"
    | "spawn-refused"
    | "agent-close"
    | "agent-label"
    | "agent-declassify"
    | "agent-attenuate"
    | "agent-revoke"
    | "mount-read"
    | "mount-write"
    | "mount-written"
    | "run-start"
    | "trace"
    | "run-end"
    | "approval-request"
    | "approval"
    | "intent"
    | "denial"
    | "outcome"
    | "tools-listed"
  >();
});
