/**
 * Seeds bugs in a copy of the meter, one at a time, and runs the meter's tests against each: every one must be caught.
 *
 *   node scripts/meter-mutants.mjs [part of a name …]
 *
 * The tests are those of test/unit/meter in Node, without CPython's. Those of typed references run in Chromium,
 * because Node 20 does not have them. A mutant that no test can tell from the meter is listed with the reason, and
 * must survive.
 */

import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBrowsers } from "./browsers.mjs";

/**
 * @typedef {object} Mutant
 * @property {string} name
 * @property {string} file in src
 * @property {string} find text that occurs exactly once in the file
 * @property {string} replace
 * @property {string} [equivalent] why no test can tell it from the meter
 * @property {true} [browser] it needs an engine with typed references
 */

/** In groups that follow the meter's design. The first of each group is a bug that others have made. */
/** @type {Mutant[]} */
const MUTANTS = [
  // Merging of blocks.
  {
    name: "a branch back to a loop ends no slot",
    file: "meter/scan.ts",
    find: "    if (!dead && target < frames[f + LOWEST]!) frames[f + LOWEST] = target;",
    replace:
      "    if (!dead && target < frames[f + LOWEST]! && (frames[target * FIELDS + FLAGS]! & KIND) !== LOOP) frames[f + LOWEST] = target;",
  },
  {
    name: "a br_table ends no slot",
    file: "meter/scan.ts",
    find: "if (k - furthest < frames[f + LOWEST]!) frames[f + LOWEST] = k - furthest;",
    replace: "",
  },
  {
    name: "a call does not end the slots around it",
    file: "meter/scan.ts",
    find: "          this.#calls(frames[f + LOOP_EVENT]!);\n          frames[f + LOWEST] = 0;\n          this.costs[slot]! += cost;",
    replace: "          this.#calls(frames[f + LOOP_EVENT]!);\n          this.costs[slot]! += cost;",
  },
  {
    name: "unreachable and return end no slot",
    file: "meter/scan.ts",
    find: "          frames[f + LOWEST] = 0;\n          this.costs[slot]! += cost;\n          cost = 0;\n          dead = true;",
    replace: "          this.costs[slot]! += cost;\n          cost = 0;\n          dead = true;",
  },
  {
    name: "the end of a try ends no slot",
    file: "meter/scan.ts",
    find: "const split = lowest < k || kind >= TRY;",
    replace: "const split = lowest < k;",
    equivalent: "what may throw within it, a call or a throw, has ended every slot around",
  },
  {
    name: "entering a function costs nothing",
    file: "meter/scan.ts",
    find: "let cost = 1; // of the entry",
    replace: "let cost = 0;",
  },
  {
    name: "catching costs nothing",
    file: "meter/scan.ts",
    find: "if (op !== Op.else) cost = 1;",
    replace: "",
  },
  // The counter in a local.
  {
    name: "no flush before call_ref",
    file: "meter/emit.ts",
    find: "          if (cached) this.#flush();\n          body.copy(bytes, start, after);",
    replace:
      "          if (cached && bytes[start] !== Op.callRef) this.#flush();\n          body.copy(bytes, start, after);",
    browser: true,
  },
  {
    name: "no flush before calls",
    file: "meter/emit.ts",
    find: "          if (cached) this.#flush();\n          body.copy(bytes, start, after);",
    replace: "          body.copy(bytes, start, after);",
  },
  {
    name: "no reload after calls",
    file: "meter/emit.ts",
    find: "          if (cached) this.#reload(costs[x]!);\n          else if (costs[x]! > 0)",
    replace: "          if (costs[x]! > 0)",
  },
  {
    name: "no reload at catch: the counter stays in its local across a try",
    file: "meter/emit.ts",
    find: "plan.fuel && scan.hasLoop && !scan.hasTry",
    replace: "plan.fuel && scan.hasLoop",
  },
  {
    name: "no flush at a throw or a trap",
    file: "meter/emit.ts",
    find: "          this.#leave(false);\n",
    replace: "",
  },
  {
    name: "no flush at a tail call",
    file: "meter/emit.ts",
    find: "          this.#leave(true);\n          copied = start;",
    replace: "          copied = start;",
  },
  {
    name: "no flush before a bulk instruction",
    file: "meter/emit.ts",
    find: "          if (cached) this.#flush();\n          body.byte(Op.call).unsigned(x",
    replace: "          body.byte(Op.call).unsigned(x",
  },
  // Checks.
  {
    name: "no check at a loop's header",
    file: "meter/emit.ts",
    find: "else if (fuel) this.#chargeAndCheck(costs[x]!, cached, c[n]!);",
    replace: "else if (fuel && costs[x]! > 0) this.#charge(costs[x]!);",
  },
  {
    name: "no check in a loop without calls",
    file: "meter/emit.ts",
    find: "this.#ifNegative(Op.i64Const, Op.i64LtS, Op.brIf, 1);",
    replace: "body.byte(Op.drop);",
  },
  {
    name: "no check at a function's entry",
    file: "meter/emit.ts",
    find: "if (scan.hasCall) this.#chargeAndCheck(",
    replace: "if (plan.nan && !plan.nan) this.#chargeAndCheck(",
  },
  {
    name: "a bulk instruction is checked after it has run",
    file: "meter/added.ts",
    find: "Op.i64Sub, ...setFuel, ...getFuel, ...ifNegative(...outOfFuel)];",
    replace: "Op.i64Sub, ...setFuel];",
  },
  {
    name: "a bulk instruction is not charged for",
    file: "meter/emit.ts",
    find: "          if (!fuel) continue;\n          body.copy(bytes, copied, start);\n          if (cached) this.#flush();\n          body.byte(Op.call)",
    replace:
      "          if (fuel) continue;\n          body.copy(bytes, copied, start);\n          if (cached) this.#flush();\n          body.byte(Op.call)",
  },
  {
    name: "a trap's count depends on the slices",
    file: "meter/added.ts",
    find: "...[Op.localGet, committed, ...getFuel, Op.i64Add, Op.localGet, counter, Op.i64Sub, ...setFuel],",
    replace: "",
  },
  {
    name: "locals are saved in one place",
    file: "meter/emit.ts",
    find: "used[Type.i32 - type]!++",
    replace: "used[Type.i32 - type]!",
  },
  // What the guest can name.
  {
    name: "rewritten before it is validated: the guest names the counter",
    file: "meter/index.ts",
    find: "const valid = WebAssembly.validate(bytes);",
    replace: "const valid = true;",
  },
  {
    name: "imported globals are not counted: the counter is the guest's own",
    file: "wasm/module.ts",
    find: "      readMutability(reader);\n      module.globalCount++;",
    replace: "      readMutability(reader);",
  },
  {
    name: "the refill is called through the guest's own table",
    file: "meter/added.ts",
    find: "return this.#module.tables.length + this.#add(Section.table",
    replace: "return 0 * this.#module.tables.length + this.#add(Section.table",
  },
  {
    name: "reserved names are not refused",
    file: "meter/index.ts",
    find: "if (name.startsWith(RESERVED_PREFIX))",
    replace: "if (name === RESERVED_PREFIX)",
  },
  {
    name: "the start section stays",
    file: "meter/write.ts",
    find: "if (id === Section.start) return;",
    replace: "",
  },
  // Labels that lead out of a doubled loop.
  {
    name: "off by one: a label out of the loop is not shifted",
    file: "meter/emit.ts",
    find: "body.copy(bytes, copied, start).unsigned(x + 1);",
    replace: "body.copy(bytes, copied, start).unsigned(x);",
  },
  {
    name: "off by one: the first label out of the loop is not shifted",
    file: "meter/scan.ts",
    find: "target < frames[f + LOOP_FRAME]!",
    replace: "target < frames[f + LOOP_FRAME]! - 1",
  },
  {
    name: "off by one: the loop's own label is shifted",
    file: "meter/scan.ts",
    find: "target < frames[f + LOOP_FRAME]!",
    replace: "target <= frames[f + LOOP_FRAME]!",
    equivalent: "it then leads to the loop added around, which goes into the loop at once, and charges nothing",
  },
  {
    name: "off by one: the first of a br_table's labels out of the loop is not shifted",
    file: "meter/emit.ts",
    find: "label > inside ? label + 1 : label",
    replace: "label > inside + 1 ? label + 1 : label",
  },
  {
    name: "off by one: the loop's own label in a br_table is shifted",
    file: "meter/emit.ts",
    find: "label > inside ? label + 1 : label",
    replace: "label >= inside ? label + 1 : label",
    equivalent: "it then leads to the loop added around, which goes into the loop at once, and charges nothing",
  },
  {
    name: "off by one: a return in the loop is not shifted",
    file: "meter/emit.ts",
    find: "y >= 0 && b[y]! & doubled ? x + 1 : x",
    replace: "x",
  },
  // Depth.
  {
    name: "depth is not restored at a catch",
    file: "meter/emit.ts",
    find: "          if (!counted) continue;\n          body.copy(bytes, copied, start);\n          this.#restoreDepth();",
    replace: "          if (!counted) continue;\n          body.copy(bytes, copied, start);",
  },
  {
    name: "depth is not restored at a loop that catches",
    file: "meter/emit.ts",
    find: "if (y & CAUGHT_AT_HEADER && counted) this.#restoreDepth();",
    replace: "",
    browser: true,
  },
  {
    name: "a tail call keeps its frame's depth",
    file: "meter/emit.ts",
    find: "          this.#leave(true);\n          copied = start;",
    replace: "          if (cached) this.#flush();\n          copied = start;",
  },
  {
    name: "a frame's locals and operands take no depth",
    file: "meter/emit.ts",
    find: "this.#words = FRAME_WORDS +",
    replace: "this.#words = FRAME_WORDS + 0 *",
  },
  // NaN.
  {
    name: "NaN bits are absorbed by any instruction",
    file: "meter/scan.ts",
    find: "if (absorbed & (1 << this.a[event]!))",
    replace: "if (event >= 0)",
  },
  {
    name: "NaN bits are absorbed by instructions on other lanes",
    file: "meter/scan.ts",
    find: "if (absorbed & (1 << this.a[event]!))",
    replace: "if (absorbed)",
  },
  {
    name: "f32.demote_f64 makes no NaN",
    file: "meter/nan.ts",
    find: "mark(CORE_NAN.makes, 1 + F32, Op.f32Ceil, Op.f32Max, Op.f32DemoteF64, Op.f32DemoteF64);",
    replace: "mark(CORE_NAN.makes, 1 + F32, Op.f32Ceil, Op.f32Max);",
  },
  {
    name: "memory.fill is not a bulk instruction",
    file: "meter/costs.ts",
    find: "Op.memoryCopy, Op.tableInit);",
    replace: "Op.memoryCopy, Op.memoryCopy, Op.tableInit, Op.tableInit);",
  },
  {
    name: "array.new_default is not a bulk instruction",
    file: "meter/costs.ts",
    find: "Op.arrayNew, Op.arrayNewDefault,",
    replace: "Op.arrayNew, Op.arrayNew,",
    browser: true,
  },
  // Caps and the host's side.
  {
    name: "a cap takes the place of a table's own lower maximum",
    file: "meter/caps.ts",
    find: "return Math.min(max, tableElements);",
    replace: "return max === Infinity ? tableElements : max;",
  },
  {
    name: "each memory may use the whole cap",
    file: "meter/caps.ts",
    find: "Math.floor((cap - minima) / defined.length)",
    replace: "cap - minima",
  },
  {
    name: "exhausted only when the fuel is overdrawn at the last check",
    file: "meter/host.ts",
    find: "return usedAtStop !== undefined || used() > budget;",
    replace: "return usedAtStop !== undefined;",
  },
  {
    name: "a stop is granted away",
    file: "meter/host.ts",
    find: "if (usedAtStop !== undefined) return false;",
    replace: "",
    equivalent: "no budget is near what a stop takes, so that the counter stays negative",
  },
];

const root = fileURLToPath(new URL("..", import.meta.url));
const LIMIT_MS = 120_000;

const wanted = process.argv.slice(2);
const mutants = MUTANTS.filter(({ name }) => !wanted.length || wanted.some((part) => name.includes(part)));
if (!mutants.length) {
  console.error("usage: node scripts/meter-mutants.mjs [part of a name …]; no mutant has that name");
  process.exit(2);
}
const chromium = findBrowsers().chromium?.launch;
const scratch = await mkdtemp(join(tmpdir(), "vak-mutants-"));
await prepare();
process.exitCode = await runAll().finally(() => rm(scratch, { recursive: true, force: true }));

async function prepare() {
  const paths = ["src/meter", "src/wasm", "src/base", "src/errors.ts"];
  for (const path of [...paths, "test/unit/meter", "test/browser/meter", "test/setup"]) {
    await cp(join(root, path), join(scratch, path), { recursive: true });
  }
  await rm(join(scratch, "test/unit/meter/python.test.ts"));
  await symlink(join(root, "node_modules"), join(scratch, "node_modules"));
  await mkdir(join(scratch, "test"), { recursive: true });
  await writeFile(join(scratch, "package.json"), '{ "type": "module" }');
  const instances = [{ browser: "chromium" }];
  await writeFile(
    join(scratch, "vitest.config.mjs"),
    `import { playwright } from "@vitest/browser-playwright";
    const provider = playwright({ launchOptions: ${JSON.stringify(chromium ?? {})} });
    const browser = { enabled: true, headless: true, provider, screenshotFailures: false, instances: ${JSON.stringify(instances)} };
    export default {
      server: { fs: { strict: false } },
      optimizeDeps: { include: ["wabt"] },
      test: { testTimeout: 60_000, env: { VAK_FUZZ: "1" }, projects: [
        { extends: true, test: { name: "unit", include: ["test/unit/**/*.test.ts"] } },
        { extends: true, test: { name: "browser", include: ["test/browser/meter/{references,costs,fuel,attacks}.test.ts"], browser } },
      ] },
    };`,
  );
}

async function runAll() {
  let wrong = 0;
  for (const project of ["unit", "browser"]) {
    const some = mutants.filter(({ browser }) => (browser ? "browser" : "unit") === project);
    if (!some.length) continue;
    if (project === "browser" && !chromium) {
      console.warn(`Chromium NOT FOUND: ${some.length} mutants are LEFT OUT (run node scripts/browsers.mjs to get it)`);
      continue;
    }
    const unchanged = await runTests(project);
    if (unchanged.caught) throw new Error(`the tests fail without a mutant: ${unchanged.by}`);
    console.log(`the meter as it is: ${unchanged.by} (${project})`);
    for (const mutant of some) {
      const { caught, by } = await runMutant(mutant, project);
      const right = caught !== (mutant.equivalent !== undefined);
      if (!right) wrong++;
      const verdict = caught ? "caught  " : right ? "survived" : "SURVIVED";
      const why = mutant.equivalent ? `equivalent: ${mutant.equivalent}` : by;
      console.log(`${verdict} ${mutant.name} [${right || !caught ? why : `BUT IS LISTED AS EQUIVALENT: ${by}`}]`);
    }
  }
  console.log(
    wrong ? `${wrong} of ${mutants.length} mutants are not as listed` : `${mutants.length} mutants, as listed`,
  );
  return wrong ? 1 : 0;
}

/** @param {Mutant} mutant @param {string} project */
async function runMutant({ name, file, find, replace }, project) {
  const path = join(scratch, "src", file);
  const source = await readFile(path, "utf8");
  const found = source.split(find).length - 1;
  if (found !== 1) throw new Error(`${name}: its text occurs ${found} times in ${file}, not once: correct it`);
  await writeFile(
    path,
    source.replace(find, () => replace),
  );
  try {
    return await runTests(project);
  } finally {
    await writeFile(path, source);
  }
}

/**
 * @param {string} project
 * @returns {Promise<{ caught: boolean, by: string }>} by: the first test that failed, or how many passed
 */
async function runTests(project) {
  const results = join(scratch, "results.json");
  await rm(results, { force: true });
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const options = ["--bail", "1", "--project", project, "--reporter", "json", "--outputFile", results];
  const child = spawn(process.execPath, [vitest, "run", ...options], {
    cwd: scratch,
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // So that a worker that spins is ended with it.
  });
  let errors = "";
  child.stderr.on("data", (text) => {
    errors += text;
  });
  const end = () => process.kill(-(/** @type {number} */ (child.pid)), "SIGKILL");
  const interrupted = () => {
    end();
    rmSync(scratch, { recursive: true, force: true });
    process.exit(1);
  };
  process.on("SIGINT", interrupted).on("SIGTERM", interrupted);
  const ended = new Promise((resolve) => child.once("close", () => resolve(true)));
  const late = new Promise((resolve) => setTimeout(resolve, LIMIT_MS, false).unref());
  const inTime = await Promise.race([ended, late]);
  if (!inTime) end();
  await ended;
  process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  if (!inTime) return { caught: true, by: `did not end within ${LIMIT_MS / 1000} s` };
  /**
   * @type {{
   *   numPassedTests: number,
   *   testResults: { message: string, assertionResults: { status: string, fullName: string }[] }[],
   * }}
   */
  const report = JSON.parse(await readFile(results, "utf8").catch(() => Promise.reject(new Error(errors))));
  const failed = report.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find(({ status }) => status === "failed");
  if (failed) return { caught: true, by: failed.fullName };
  // A mutant that cannot be loaded proves nothing.
  const broken = report.testResults.find(({ message }) => message);
  if (broken) throw new Error(`the tests do not load: ${broken.message}`);
  if (!report.numPassedTests) throw new Error(`no test was run\n${errors}`);
  return { caught: false, by: `${report.numPassedTests} tests pass` };
}
