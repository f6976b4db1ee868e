/** Makes every decision of a log again, from the log alone: by Cedar, without the engine that decided. */
import { createCedar } from "virtual:cedar-glue";
import type { Bundle } from "../audit/bundle.ts";
import { policyPath } from "../audit/bundle.ts";
import { errorText } from "../base/error-text.ts";
import { fromUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { type Base, type Budgets, makeBase } from "./cedar/base.ts";
import { judge, stateless } from "./cedar/judge.ts";
import type { Cedar } from "./cedar/read.ts";
import { type Rules, readRules } from "./cedar/rules.ts";
import { compile, type WasmSource } from "./cedar/wasm.ts";
import { agrees, decisionsOf, type LoggedDecision, type Verdict } from "./decisions.ts";
import { callDigest } from "./digest.ts";
import type { Decision, PolicyTool } from "./engine.ts";
import { readText } from "./pack.ts";

/** A decision that differs from the logged one when it is made again. */
export interface Difference {
  /** The intent's or the denial's. */
  seq: number;
  /** What differs. */
  of: "callDigest" | "decision" | "shadow";
  logged: unknown;
  decided: unknown;
}

export interface Redecided {
  /** Decisions in the log. */
  decisions: number;
  /** How many come out the same when they are made again. */
  agreed: number;
  differing: Difference[];
  /** Those that could not be made again, and why: a value was erased or never kept, or no policy was asked. */
  undecided: { seq: number; why: string }[];
}

/** Bytes of a policy, or of its base. */
const MAX_TEXT_BYTES = 16 * 2 ** 20;
/** Policies that are kept prepared. */
const MAX_READY = 16;

interface Ready {
  rules: Rules;
  cedar: Pick<Cedar, "statefulIsAuthorized">;
}

/**
 * Makes every decision of a log again, from what the log says it was made from. It uses Cedar's own `isAuthorized`,
 * which parses the logged policy anew for each decision, and shares only the translation of requests with the engine
 * that decided. Whether the log itself is genuine is for `verify` to say.
 *
 * @param wasm Cedar's WebAssembly
 * @throws VakError `invalid-bundle`, `policy-unavailable`
 * @example const { agreed, decisions, differing } = await redecide(await openBundle(zip), { wasm });
 */
export async function redecide(bundle: Bundle, { wasm }: { wasm: WasmSource }): Promise<Redecided> {
  const module = await compile(wasm);
  const ready = new Map<string, Promise<Ready | string>>();
  const result: Redecided = { decisions: 0, agreed: 0, differing: [], undecided: [] };
  for await (const logged of decisionsOf(bundle)) {
    result.decisions++;
    const { entry, request, was, policyDigest, baseDigest } = logged;
    const { seq } = entry;
    if (!request || was.reason === "policy-unavailable" || baseDigest === undefined) {
      const noPolicy = baseDigest === undefined ? "the log does not have the tools' schemas" : "no policy was asked";
      result.undecided.push({ seq, why: logged.why ?? noPolicy });
      continue;
    }
    const bound = callDigest(entry.agent, entry.resource, entry.inputDigest ?? "", policyDigest);
    if (bound !== entry.callDigest) {
      result.differing.push({ seq, of: "callDigest", logged: entry.callDigest, decided: bound });
      continue;
    }
    const key = JSON.stringify([policyDigest, baseDigest, logged.lease]);
    let held = ready.get(key);
    if (!held) {
      held = prepareFor(bundle, module, policyDigest, baseDigest, logged.lease);
      ready.set(key, held);
      if (ready.size > MAX_READY) ready.delete(ready.keys().next().value!);
    }
    const at = await held;
    if (typeof at === "string") {
      result.undecided.push({ seq, why: at });
      continue;
    }
    const decision = judge(at.cedar, at.rules, request);
    const difference = differenceOf(logged, decision);
    if (difference) result.differing.push({ seq, ...difference });
    else result.agreed++;
  }
  return result;
}

function differenceOf({ entry, was }: LoggedDecision, now: Decision): Omit<Difference, "seq"> | undefined {
  if (!agrees(was, now)) return { of: "decision", logged: was, decided: verdictOf(now) };
  const logged = entry.shadow && verdictOf(entry.shadow);
  const decided = now.shadow && verdictOf(now.shadow);
  return JSON.stringify(logged) === JSON.stringify(decided) ? undefined : { of: "shadow", logged, decided };
}

function verdictOf(made: { decision: Verdict["decision"]; reason?: string; policies: string[] }) {
  const { decision, reason, policies } = made;
  return { decision, ...(reason !== undefined && { reason }), policies };
}

/** A logged policy, ready to decide, or why it cannot. */
async function prepareFor(
  bundle: Bundle,
  module: WebAssembly.Module,
  policyDigest: string,
  baseDigest: string,
  lease: string | undefined,
): Promise<Ready | string> {
  const text = await textOf(bundle, policyDigest);
  const base = await textOf(bundle, baseDigest);
  if (text === undefined || base === undefined) return "its policy, or the base of that, is not in the bundle";
  try {
    const cedar = await createCedar(module);
    const rules = readRules(cedar, readBase(base), readText(text), lease);
    return { rules, cedar: stateless(cedar, rules) };
  } catch (error) {
    return `its policy no longer loads: ${errorText(error)}`;
  }
}

async function textOf(bundle: Bundle, digest: string): Promise<string | undefined> {
  for (const json of [false, true]) {
    const bytes = await bundle.read(policyPath(digest, json), MAX_TEXT_BYTES);
    if (bytes) return fromUtf8(bytes);
  }
  return undefined;
}

/** @throws VakError `invalid-bundle` */
function readBase(text: string): Base {
  try {
    const { tools, budgets, constitution } = JSON.parse(text) as {
      tools: PolicyTool[];
      budgets?: Budgets;
      constitution?: string;
    };
    const base = makeBase(tools, budgets, constitution);
    if (base.text !== text) throw new Error("it is not in the form in which vak writes it");
    return base;
  } catch (cause) {
    throw new VakError("invalid-bundle", `The base of a policy cannot be read: ${errorText(cause)}.`, {
      cause,
    });
  }
}
