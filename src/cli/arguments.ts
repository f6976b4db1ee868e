/** The arguments of the `vak` command: what each command takes, and what is misuse. */
import { parseArgs } from "node:util";
import { errorText } from "../base/error-text.ts";

/** That of package.json, as a test checks: the command is also run from where no package.json is above it. */
export const VERSION = "0.1.0";

export const USAGE = `Usage: vak verify <log.zip | directory>... [--key <vkey>]... [--witness <vkey>]... [--json]
       vak verify <receipt.tlog-proof> --key <vkey> [--json]
       vak replay <log.zip | directory>... [--run <n> [--until <call> | --against <n>]]
                  [--program <file>]... [--key <vkey>]... [--json]
       vak policy test <policy.json | policy.js>
       vak policy replay <log.zip | directory>... [--key <vkey>]... [--json]
       vak --help | --version

verify: checks an exported log: its signature, every entry, their order, and every file beside them.
If a log was exported in increments, give the first export and then the increments, oldest first.
For a receipt: checks that its entry is in the log of that key.

replay: verifies the log, executes its runs again with the recorded answers, and says whether they come out
the same, or where they first differ. It needs no tools and no network. It also makes the decisions again, as
policy replay does.

policy replay: verifies the log and makes each of its decisions again with Cedar, under the policy that is in
the log and with the facts that it recorded, and says whether they come out the same.

policy test: loads a policy as a kernel does, and runs its own tests. The file holds
{"policy": …, "tools": […]}, or is a module that exports these; policy is Cedar text or a policy pack, a tool
is its name and inputSchema. It may have "budgets" too.

  --key <vkey>  a key of the log that you know from elsewhere (name+id+base64). One of those you give must be
                the log's, now or before a change of key. Without one, the key in the bundle is used: that
                shows that the log is consistent, not whose it is.
  --witness <vkey>
                a witness that must have cosigned it
  --run <n>     only the n-th run of the log, or the run with that id
  --until <call>
                stop before that call is answered, and show the state there
  --against <n> compare with another run of the log: what they were given, calls, end, files, output
  --program <file>
                a program of an agent, if the log does not hold it
  --json        print the report as JSON

Exit code: 0 if nothing is wrong, 1 if something is, 2 if the command was misused.
`;

/** Wrong use of the command. */
export class Misuse extends Error {}

/** What every command on a log takes. */
export interface LogArguments {
  /** Zips or directories, at least one. */
  paths: string[];
  keys: string[] | undefined;
  witnesses: string[] | undefined;
  json: boolean;
}

export interface ReplayArguments extends LogArguments {
  run: string | undefined;
  /** Number of a call of that run. */
  until: number | undefined;
  /** Another run, to compare that run with. */
  against: string | undefined;
  /** Paths of programs. */
  programs: string[];
}

export interface ReceiptArguments {
  path: string;
  keys: string[];
  json: boolean;
}

export type Command =
  | { name: "help" | "version" }
  | { name: "verify"; args: LogArguments }
  | { name: "verify receipt"; args: ReceiptArguments }
  | { name: "replay"; args: ReplayArguments }
  | { name: "policy test"; path: string }
  | { name: "policy replay"; args: LogArguments };

/** @throws Misuse */
export function parseArguments(args: string[]): Command {
  const { values, positionals } = parseOptions(args);
  if (values.help) return { name: "help" };
  if (values.version) return { name: "version" };
  const [name, ...paths] = positionals;
  if (name === "replay") return { name, args: replayArguments(paths, values) };
  if ([values.run, values.until, values.against, values.program].some((value) => value !== undefined)) {
    throw new Misuse("--run, --until, --against and --program are for vak replay.");
  }
  if (name === "verify") {
    const [path] = paths;
    const isReceipt = paths.length === 1 && path!.endsWith(".tlog-proof");
    return isReceipt
      ? { name: "verify receipt", args: receiptArguments(path!, values) }
      : { name, args: logArguments(paths, values) };
  }
  if (name === "policy") return policyCommand(paths, values);
  throw new Misuse(name === undefined ? "Give a command: verify, replay or policy." : `There is no command "${name}".`);
}

type Values = ReturnType<typeof parseOptions>["values"];

function parseOptions(args: string[]) {
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
        version: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new Misuse(errorText(error));
  }
}

function logArguments(paths: string[], { key, witness, json = false }: Values): LogArguments {
  if (paths.length === 0) throw new Misuse("Give a zip file or a directory.");
  return { paths, keys: key, witnesses: witness, json };
}

function receiptArguments(path: string, { key, witness, json = false }: Values): ReceiptArguments {
  if (witness) throw new Misuse("--witness is for logs. A receipt is verified with the log's key alone.");
  if (!key) throw new Misuse("A receipt does not hold the log's key: give it with --key.");
  return { path, keys: key, json };
}

function replayArguments(paths: string[], values: Values): ReplayArguments {
  const { run, until, against, program = [] } = values;
  const log = logArguments(paths, values);
  if (until !== undefined && (run === undefined || !/^\d{1,15}$/.test(until))) {
    throw new Misuse("--until takes the number of a call, in the run that --run names.");
  }
  if (against !== undefined && until !== undefined) throw new Misuse("Give --until or --against, not both.");
  if (against !== undefined && run === undefined) {
    throw new Misuse("--against takes a run to compare with the run that --run names: give --run too.");
  }
  return { ...log, run, until: until === undefined ? undefined : Number(until), against, programs: program };
}

function policyCommand([name, ...paths]: string[], values: Values): Command {
  if (name === "replay") return { name: "policy replay", args: logArguments(paths, values) };
  if (name !== "test")
    throw new Misuse(
      name === undefined ? "Give a command: policy test or policy replay." : `There is no command "policy ${name}".`,
    );
  const [path, ...more] = paths;
  if (path === undefined || more.length > 0) throw new Misuse("Give one file.");
  const { key, witness, json } = values;
  if (key || witness || json) throw new Misuse("policy test takes a file, and none of the options for logs.");
  return { name: "policy test", path };
}
