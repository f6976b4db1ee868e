#!/usr/bin/env node
/** The `vak` command. */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type Bundle,
  type ByteSource,
  joinBundles,
  openBundle,
  type Report,
  type RunSummary,
  type VerifyOptions,
  verify,
  verifyProof,
} from "../audit/index.ts";
import { VakError } from "../errors.ts";
import {
  type Divergence,
  diff,
  type Replay,
  type RunDifference,
  replay,
  replayAll,
  type State,
  type TextDifference,
} from "../replay/index.ts";

const USAGE = `Usage: vak verify <log.zip | directory>... [--key <vkey>]... [--witness <vkey>]... [--json]
       vak verify <receipt.tlog-proof> --key <vkey> [--json]
       vak replay <log.zip | directory>... [--run <n> [--until <call> | --against <n>]]
                  [--program <file>]... [--key <vkey>]... [--json]
       vak policy test <policy.json | policy.js>
       vak policy replay <log.zip | directory>... [--key <vkey>]... [--json]

verify: an exported log: its signature, every entry, their order, and every file beside them.
Increments of an export come after it, the oldest first.
Or a receipt: that its entry is in the log of that key.

replay: verifies the log, executes its runs again with the answers that were recorded, and says whether they are the
same, or where they first differ. Without tools, and without a network. The decisions are made again too, as by
policy replay.

  --key <vkey>  the key that must have signed it, as you know it from elsewhere (name+id+base64).
                Without, the key in the bundle is believed, which proves that the log is of one
                piece, but not whose it is.
  --witness <vkey>
                a witness that must have cosigned it
  --run <n>     only the n-th run of the log, or the run of that id
  --until <call>
                stop before that call is answered, and show how things stand there
  --against <n> compare with another run of the log: what they were given, calls, end, files, output
  --program <file>
                a program that agents were made of, where the log does not hold it
  --json        print the report as JSON

policy replay: verifies the log, makes each of its decisions again with Cedar, under the policy that the
log has and from what it says that the kernel knew, and says whether they come out the same.

policy test: loads a policy as a kernel does, and runs its own tests. The file holds {"policy": …, "tools": […]}, or is
a module with these exports; policy is Cedar text or a bundle, a tool is its name and inputSchema. It may
have "budgets" too.

Exit code: 0 when nothing is wrong, 1 when something is, 2 when the command was misused.
`;

/** Files in a directory, at most. */
const MAX_FILES = 1_000_000;

class Misuse extends Error {}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [command, ...paths] = positionals;
  const [path] = paths;
  if (command === "replay") return replayPaths(paths, values);
  if ([values.run, values.until, values.against, values.program].some((value) => value !== undefined)) {
    throw new Misuse("--run, --until, --against and --program are for vak replay.");
  }
  if (command === "policy") return policy(paths, values);
  if (command !== "verify") throw new Misuse(command ? `There is no command "${command}".` : "Say what to do.");
  if (path === undefined) throw new Misuse("Give a zip file or a directory.");
  if (path.endsWith(".tlog-proof") && paths.length === 1) return verifyReceipt(path, values.key, values.json);
  const options = { ...(values.key && { keys: values.key }), ...(values.witness && { witnesses: values.witness }) };
  const report = await verifyPaths(paths, options);
  if (values.json) process.stdout.write(`${plainJson(report)}\n`);
  else process.stdout.write(describe(report));
  for (const { where, message } of report.problems) process.stderr.write(`${plain(`${where}: ${message}`)}\n`);
  return report.ok ? 0 : 1;
}

async function policy([command, path, ...more]: string[], values: Values): Promise<number> {
  if (command === "replay") return policyReplay(path === undefined ? [] : [path, ...more], values);
  if (command !== "test") throw new Misuse(command ? `There is no command "policy ${command}".` : "Say what to do.");
  if (path === undefined || more.length > 0) throw new Misuse("Give one file.");
  const { testPolicy } = await import("./policy.ts");
  process.stdout.write(plainLines(await testPolicy(path)));
  return 0;
}

/** Only of a log that verifies do its decisions say anything. */
async function policyReplay(paths: readonly string[], { key, witness, json }: Values): Promise<number> {
  if (paths.length === 0) throw new Misuse("Give a zip file or a directory.");
  const { redecideLog } = await import("./policy.ts");
  return withBundle(paths, async (bundle) => {
    const report = await verify(bundle, { ...(key && { keys: key }), ...(witness && { witnesses: witness }) });
    for (const { where, message } of report.problems) process.stderr.write(`${plain(`${where}: ${message}`)}\n`);
    if (!json) process.stdout.write(`${report.ok ? "The log verifies." : "THE LOG DOES NOT VERIFY."}\n`);
    if (!report.ok) return 1;
    const { result, good, lines } = await redecideLog(bundle);
    if (json) process.stdout.write(`${plainJson(result)}\n`);
    else for (const line of lines) process.stdout.write(`${plain(line)}\n`);
    return good ? 0 : 1;
  });
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        key: { type: "string", multiple: true },
        witness: { type: "string", multiple: true },
        run: { type: "string" },
        until: { type: "string" },
        against: { type: "string" },
        program: { type: "string", multiple: true },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new Misuse((error as Error).message);
  }
}

const verifyPaths = (paths: readonly string[], options: VerifyOptions): Promise<Report> =>
  withBundle(paths, (bundle) => verify(bundle, options));

async function withBundle<T>(paths: readonly string[], use: (bundle: Bundle) => Promise<T>): Promise<T> {
  const bundles: Bundle[] = [];
  const files: FileHandle[] = [];
  try {
    for (const path of paths) {
      const found = await stat(path).catch((error: Error) => {
        throw new Misuse(error.message);
      });
      if (found.isDirectory()) bundles.push(openDirectory(path));
      else {
        const file = await open(path);
        files.push(file);
        bundles.push(await openBundle(fileSource(file, found.size)));
      }
    }
    return await use(bundles.length === 1 ? bundles[0]! : await joinBundles(bundles));
  } finally {
    for (const file of files) await file.close();
  }
}

type Values = ReturnType<typeof parse>["values"];

async function replayPaths(paths: readonly string[], values: Values): Promise<number> {
  const { run, until, against, program, key, witness, json } = values;
  if (paths.length === 0) throw new Misuse("Give a zip file or a directory.");
  if (until !== undefined && (run === undefined || !/^\d{1,15}$/.test(until))) {
    throw new Misuse("--until is the number of a call, of the run that --run names.");
  }
  if (against !== undefined && (run === undefined || until !== undefined)) {
    throw new Misuse("--against is the run to compare with the run that --run names.");
  }
  const programs: Uint8Array<ArrayBuffer>[] = [];
  for (const path of program ?? []) {
    const bytes = await readFile(path).catch((error: Error) => {
      throw new Misuse(error.message);
    });
    programs.push(new Uint8Array(bytes));
  }
  return withBundle(paths, async (bundle) => {
    const report = await verify(bundle, { ...(key && { keys: key }), ...(witness && { witnesses: witness }) });
    if (!json) process.stdout.write(`${report.ok ? "The log verifies." : "THE LOG DOES NOT VERIFY."}\n`);
    for (const { where, message } of report.problems) process.stderr.write(`${plain(`${where}: ${message}`)}\n`);
    const options = {
      ...(programs.length > 0 && { program: programs }),
      ...(until !== undefined && { until: { call: Number(until) } }),
    };
    if (against !== undefined) {
      const found = await diff({ bundle, run: which(run!), ...options }, { bundle, run: which(against), ...options });
      if (json) process.stdout.write(`${plainJson({ verified: report.ok, problems: report.problems, ...found })}\n`);
      else for (const line of describeDifference(found)) process.stdout.write(`${plain(line)}\n`);
      return report.ok && found.same ? 0 : 1;
    }
    const replays: Replay[] = [];
    if (run !== undefined) replays.push(await replay(bundle, which(run), options));
    else for await (const one of replayAll(bundle, options)) replays.push(one);
    const shown = replays.map(({ state, ...rest }) => ({ ...rest, ...(state && { state: summary(state) }) }));
    // Only of a log that verifies do its decisions say anything; and who looks at a call does not ask for them.
    const decided = report.ok && until === undefined ? await redecided(bundle, report) : undefined;
    if (json) {
      const decisions = decided && { decisions: decided.result };
      const whole = { verified: report.ok, problems: report.problems, replays: shown, ...decisions };
      process.stdout.write(`${plainJson(whole)}\n`);
    } else {
      const lines = [...replays.flatMap(describeReplay), ...(decided ? ["", ...decided.lines] : [])];
      if (replays.length === 0) lines.unshift("", "There are no runs in it.");
      for (const line of lines) process.stdout.write(`${plain(line)}\n`);
    }
    const agreed = decided?.good ?? true;
    return report.ok && agreed && replays.every(({ verdict }) => verdict === "same") ? 0 : 1;
  });
}

/** The decisions of a log, made again, if there are any. */
async function redecided(bundle: Bundle, { entries }: Report) {
  if (!entries.intent && !entries.denial) return undefined;
  const { redecideLog } = await import("./policy.ts");
  return redecideLog(bundle);
}

/** A run's number, or its id. */
const which = (run: string): string | number => (/^\d{1,15}$/.test(run) ? Number(run) : run);

function describeDifference({ same, given, call, end, files, stdout, stderr }: RunDifference): string[] {
  const pair = ({ one, other }: { one: string; other: string }) => [`    ${shorten(one)}`, `    ${shorten(other)}`];
  const output = (name: string, found: TextDifference | null) =>
    found ? [`  ${name}, from byte ${found.byte} on`, ...pair(found)] : [];
  const marks = { added: "+", removed: "-", changed: "~" };
  return [
    "",
    same ? "The runs are the same." : "The runs differ:",
    ...given.map((what) => `  given  ${what}`),
    ...(call ? [`  call ${call.number}: its ${call.what}`, ...pair(call)] : []),
    ...end.flatMap((found) => [`  ${found.what}`, ...pair(found)]),
    ...files.map(
      ({ path, change, byte }) => `  ${marks[change]} ${path}${byte === undefined ? "" : `  from byte ${byte} on`}`,
    ),
    ...output("stdout", stdout),
    ...output("stderr", stderr),
  ];
}

/** What of a state can be printed: of bytes, how many there are. */
function summary({ memory, files, stdout, stderr, ...rest }: State) {
  const globals = Object.entries(rest.globals).map(([i, value]) => [i, String(value)]);
  return {
    ...rest,
    globals: Object.fromEntries(globals),
    memoryBytes: memory.byteLength,
    files: Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.byteLength])),
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  };
}

function describeState(state: State): string[] {
  const { reached, request, memoryBytes, files, directories, stdout, stderr } = summary(state);
  const lines = (name: string, text: string) =>
    text === "" ? [] : [`  ${name}`, ...text.split("\n").map((line) => `    ${line}`)];
  return [
    reached ? `  stopped where it asks ${request}` : "  it ended before that call",
    `  ${memoryBytes} bytes of memory`,
    ...directories.map((path) => `  ${path}/`),
    ...Object.entries(files).map(([path, bytes]) => `  ${path}  ${bytes} bytes`),
    ...lines("stdout so far", stdout),
    ...lines("stderr so far", stderr),
  ];
}

function describeReplay({ run, verdict, divergence, missing, calls, fuel, notCompared, state }: Replay): string[] {
  const verdicts = {
    same: "the same",
    diverged: "DIVERGED",
    interrupted: "the same as far as its trace was stored",
    incomplete: "NOT REPLAYED TO ITS END",
  };
  return [
    "",
    `Run ${run}: ${verdicts[verdict]}`,
    `  ${calls} ${calls === 1 ? "call" : "calls"}, ${fuel} units of fuel`,
    ...(divergence ? describeDivergence(divergence, run) : []),
    ...(missing === null ? [] : [`  ${missing}`]),
    ...notCompared.map((what) => `  not compared: ${what}`),
    ...(state ? describeState(state) : []),
  ];
}

/** Longest stretch of a text that differs, as it is shown, UTF-16 units. */
const MAX_SHOWN = 400;

const shorten = (text: string) => (text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);

function describeDivergence(
  { run: at, call, fuel, what, recorded, replayed, byte }: Divergence,
  run: string,
): string[] {
  return [
    `  first at ${call === null ? "no call" : `call ${call}`}${at === run ? "" : ` of run ${at}`}, after ${fuel} units of fuel`,
    `  ${what}${byte === undefined ? "" : `, from byte ${byte} on`}`,
    `    recorded  ${shorten(recorded)}`,
    `    replayed  ${shorten(replayed)}`,
  ];
}

async function verifyReceipt(path: string, keys: string[] | undefined, json = false): Promise<number> {
  if (!keys) throw new Misuse("A receipt holds no key: give the log's with --key.");
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new Misuse(error.message);
  });
  const { origin, size, seq, entry, keys: signers } = await verifyProof(text, keys);
  const proven = { ok: true, origin, size, seq, keys: signers, entry };
  if (json) process.stdout.write(`${plainJson(proven)}\n`);
  else {
    const lines = [`The receipt verifies: entry ${seq} of ${size} in ${origin}, signed by ${signers.join(", ")}.`, ""];
    for (const line of [...lines, ...JSON.stringify(entry, null, 2).split("\n")])
      process.stdout.write(`${plain(line)}\n`);
  }
  return 0;
}

function fileSource(file: FileHandle, size: number): ByteSource {
  return {
    size,
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
      if (bytesRead !== bytes.length) throw new VakError("invalid-bundle", "The file is cut short.");
      return bytes;
    },
  };
}

function openDirectory(root: string): Bundle {
  return {
    async paths() {
      const paths: string[] = [];
      const pending = [""];
      for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
        for (const item of await readdir(join(root, folder), { withFileTypes: true })) {
          // A symbolic link is listed as a file, which `read` then refuses: a bundle holds only what it holds.
          if (item.isDirectory()) pending.push(`${folder}${item.name}/`);
          else paths.push(`${folder}${item.name}`);
          if (paths.length > MAX_FILES) throw new VakError("invalid-bundle", `There are more than ${MAX_FILES} files.`);
        }
      }
      return paths;
    },
    async read(path, maxBytes) {
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      const file = await open(join(root, path), flags).catch((error: Error) => {
        throw new VakError("invalid-bundle", `It cannot be opened: ${error.message}`, { cause: error });
      });
      try {
        const found = await file.stat();
        if (!found.isFile()) throw new VakError("invalid-bundle", "It is not a plain file.");
        const { size } = found;
        if (size > maxBytes)
          throw new VakError("invalid-bundle", `It has ${size} bytes; at most ${maxBytes} are read.`);
        return await fileSource(file, size).read(0, size);
      } finally {
        await file.close();
      }
    },
  };
}

function describe(report: Report): string {
  const lines = [
    report.ok ? "The log verifies." : "THE LOG DOES NOT VERIFY.",
    "",
    `  origin   ${report.origin || "?"}`,
    `  entries  ${report.size}`,
    `  root     ${report.root || "?"}`,
    ...report.keys.map((key) => `  key      ${key}`),
    ...report.witnesses.map(({ key, time }) => `  witness  ${key} at ${new Date(time).toISOString()}`),
    "",
    ...report.runs.flatMap(describeRun),
    ...report.declassified.map(
      ({ seq, agent, labels, by, reason }) =>
        `Entry ${seq}: ${labels.join(", ")} of ${agent.name} declassified by ${by}: ${reason}`,
    ),
    ...(report.declassified.length > 0 ? [""] : []),
    ...(report.notChecked.length > 0 ? ["Not checked:", ...report.notChecked.map((what) => `  - ${what}`), ""] : []),
  ];
  return lines.map((line) => `${plain(line)}\n`).join("");
}

function describeRun({ agent, run, seq, calls, outcomes, end }: RunSummary): string[] {
  const lines = [`Run ${run} of ${agent.name}, program ${agent.program.slice(0, 12)}, from entry ${seq}`];
  for (const { decision, action, resource, policies, reason, approvedBy, count } of calls) {
    const verdict = decision === "allow" ? "allowed" : "denied ";
    // Where a policy allowed or forbade, its name says more than that it did.
    const named = policies.length > 0 && (decision === "allow" || reason === "forbidden" || reason === "policy-error");
    const determined = named ? `by ${policies.join(", ")}` : reason;
    const by = approvedBy === undefined ? determined : `${determined}, approved by ${approvedBy}`;
    lines.push(`  ${verdict}  ${action} on ${resource}  ${by}${count > 1 ? `  ×${count}` : ""}`);
  }
  if (outcomes.error > 0) lines.push(`  ${outcomes.error} of the allowed calls failed`);
  if (outcomes.unknown > 0) lines.push(`  ${outcomes.unknown} of the allowed calls may or may not have happened`);
  lines.push(`  ${describeEnd(end)}`, "");
  return lines;
}

function describeEnd(end: RunSummary["end"]): string {
  if (end === "open") return "had not ended when the log was signed";
  if (end === "interrupted") return "interrupted: the page was gone before it ended";
  switch (end.status) {
    case "exited":
      return `exited with code ${end.exitCode}`;
    case "trapped":
      return `trapped: ${end.trap}${end.message ? `, ${end.message}` : ""}`;
    case "stopped":
      return `stopped: ${end.limit}`;
    case "failed":
      return `failed: ${end.message}`;
  }
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** What a guest has put into the log must not move the cursor, set colours or turn the text round: it is spelled out. */
function plain(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

const plainLines = (text: string): string => text.split("\n").map(plain).join("\n");

/** JSON's own escapes leave out much of what {@link plain} spells out. */
function plainJson(value: unknown): string {
  const spell = (char: string) =>
    Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join("");
  return JSON.stringify(value, null, 2).replace(UNPRINTABLE, (char) => (char === "\n" ? char : spell(char)));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const misused = error instanceof Misuse || (error instanceof VakError && error.code === "invalid-argument");
  // The lines of a refused policy are its author's own.
  const spell = error instanceof VakError && error.code === "invalid-policy" ? plainLines : plain;
  process.stderr.write(`vak: ${spell((error as Error).message)}\n${misused ? `\n${USAGE}` : ""}`);
  process.exitCode = misused ? 2 : 1;
}
