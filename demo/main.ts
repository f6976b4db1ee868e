/** The playground: wires the page to one kernel, and runs one agent at a time in it. */
import "../src/approval/index.ts";
import type { VakApproval } from "../src/approval/index.ts";
import {
  type Agent,
  createKernel,
  type ForkPoint,
  type Kernel,
  type LogRecord,
  type RunResult,
  VakError,
} from "../src/index.ts";
import { pythonModule } from "../src/runtimes/python.ts";
import { byId, el } from "./dom.ts";
import { createEditor } from "./editor.ts";
import { type Example, examples, requests } from "./examples.ts";
import { openEntries } from "./inclusion.ts";
import { describeEnd, Ledger } from "./ledger.ts";
import { downloadPython } from "./python.ts";
import { createShop } from "./shop.ts";
import { simulatePolicy } from "./simulation.ts";
import { Terminal } from "./terminal.ts";
import { replayRun } from "./timeline.ts";
import { createUsage, limits } from "./usage.ts";
import { keepReading } from "./values.ts";
import { verifyLog } from "./verification.ts";

type State = "loading" | "ready" | "starting" | "running" | "stopping" | "broken";

const runButton = byId<HTMLButtonElement>("run");
const stopButton = byId<HTMLButtonElement>("stop");
const verifyButton = byId<HTMLButtonElement>("verify");
const exportButton = byId<HTMLButtonElement>("export");
const replayButton = byId<HTMLButtonElement>("replay");
const whatIfButton = byId<HTMLButtonElement>("what-if");
const restoreButton = byId<HTMLButtonElement>("restore");
const sheet = byId<HTMLDialogElement>("sheet");
const approval = byId<VakApproval>("approval");

const shop = createShop();
const usage = createUsage();
const terminal = new Terminal(byId("screen"));
const ledger = new Ledger({
  list: byId<HTMLOListElement>("entries"),
  rows: byId("rows"),
  onOpen: (records) => void withKernel((kernel) => openEntries(kernel, records)),
  onDecision(decision, tool, call) {
    byId("empty").hidden = true;
    usage.calls(call);
    if (decision === "deny") shop.withhold(tool);
  },
});

let state: State = "loading";
let kernel: Kernel | undefined;
let python: Uint8Array<ArrayBuffer> | undefined;
let compiled = false;
/** The id of the last run that ended. */
let lastRun: string | undefined;
let stopping = new AbortController();

function enter(next: State, status: string): void {
  state = next;
  document.body.dataset.state = next;
  byId("status").textContent = status;
  // Not `disabled`: that would take the focus away from a button that was just pressed.
  runButton.ariaDisabled = String(next !== "ready");
  stopButton.ariaDisabled = String(next !== "starting" && next !== "running");
}

// The examples, with people's edits

let example = examples.get("job")!;
const edited = new Map<Example, Example>();

const keep = () => {
  edited.set(example, { program: program.text, policy: policy.text });
  restoreButton.disabled = program.text === example.program && policy.text === example.policy;
};
const program = createEditor({
  parent: byId("program"),
  language: "python",
  label: "Program, in Python",
  text: example.program,
  onEdit: keep,
});
const policy = createEditor({
  parent: byId("policy"),
  language: "cedar",
  label: "Policy, in Cedar",
  text: example.policy,
  onEdit() {
    keep();
    byId("problem").hidden = true;
  },
});

function showExample(next: Example): void {
  example = next;
  const texts = edited.get(next) ?? next;
  program.text = texts.program;
  policy.text = texts.policy;
  byId("problem").hidden = true;
  restoreButton.disabled = texts.program === next.program && texts.policy === next.policy;
}

for (const input of document.querySelectorAll<HTMLInputElement>("input[name=example]")) {
  input.addEventListener("change", () => showExample(examples.get(input.value)!));
}

restoreButton.addEventListener("click", () => {
  edited.delete(example);
  showExample(example);
  byId("policy-title").scrollIntoView({ block: "nearest" });
});

// Loading: Python, the policy engine and the log, side by side

function boot(what: "python" | "policy" | "log", state: "wait" | "busy" | "done" | "failed", how: string): void {
  const line = byId(`boot-${what}`);
  line.dataset.state = state;
  line.querySelector(".how")!.textContent = how;
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

async function loadPython(): Promise<void> {
  const bar = byId("boot-python").querySelector("progress")!;
  boot("python", "busy", "connecting");
  try {
    python = await downloadPython(({ loaded, total }) => {
      boot("python", "busy", `${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ""} MB`);
      if (total) bar.value = loaded / total;
      else bar.removeAttribute("value");
    });
    bar.value = 1;
    boot("python", "done", `${megabytes(python.length)} MB`);
  } catch (error) {
    boot("python", "failed", "failed");
    showBanner(`Python could not be loaded: ${(error as Error).message}. Check the connection.`, {
      "Try again": () => void load(),
    });
  }
}

/** Follows the log until the kernel is closed. */
async function follow({ log }: Kernel): Promise<void> {
  // The entries of this visit; earlier ones on demand. The newest is the policy that was just loaded.
  const from = log.size <= 2 ? 0 : log.size - 1;
  offerEarlier(log, from);
  const read = keepReading(
    log,
    () => ledger.wanted,
    (seq, value) => ledger.setValue(seq, value),
  );
  log.failed.then((error) => {
    if (error.code === "log-unavailable") broken(error);
  });
  for await (const record of log.entries({ from, follow: true })) {
    ledger.add(record);
    read();
    byId("size").textContent = `${record.seq + 1} ${record.seq === 0 ? "entry" : "entries"}`;
    byId("view-count").textContent = String(record.seq + 1);
  }
}

/** How many earlier entries are shown at a time. */
const EARLIER = 100;

function offerEarlier(log: Kernel["log"], before: number): void {
  const button = byId<HTMLButtonElement>("earlier");
  button.hidden = before === 0;
  button.textContent = `Show earlier entries (${before})`;
  button.onclick = async () => {
    const from = Math.max(0, before - EARLIER);
    const records: LogRecord[] = [];
    for await (const record of log.entries({ from })) {
      if (record.seq >= before) break;
      records.push(record);
    }
    ledger.prepend(records);
    offerEarlier(log, from);
  };
}

/** Errors after which only a log with another name can be written here. */
const NEEDS_ANOTHER_LOG = ["log-in-use", "log-rollback", "log-corrupt"];

async function openKernel(logName: string): Promise<void> {
  boot("policy", "busy", "loading");
  boot("log", "busy", "opening");
  try {
    const { tools } = shop;
    const log = { name: logName };
    kernel = await createKernel({ policy: example.policy, tools, log, onApproval: approval.ask });
    boot("policy", "done", "ready");
    boot("log", "done", kernel.log.size > 2 ? `${kernel.log.size} entries` : "new");
    verifyButton.disabled = exportButton.disabled = whatIfButton.disabled = false;
    void follow(kernel).catch(broken);
  } catch (error) {
    boot("policy", "wait", "waiting");
    boot("log", "failed", "failed");
    const another = `playground-${Math.random().toString(36).slice(2, 8)}`;
    showBanner((error as Error).message, {
      "Try again": () => void load(logName),
      ...(NEEDS_ANOTHER_LOG.includes(codeOf(error) ?? "") && { "Use another log": () => void load(another) }),
    });
  }
}

async function load(logName = "playground"): Promise<void> {
  byId("banner").hidden = true;
  enter("loading", "Loading");
  await Promise.all([python ? undefined : loadPython(), kernel ? undefined : openKernel(logName)]);
  if (kernel && python) enter("ready", "Ready");
  else enter("broken", "Not ready");
}

// A run

/** @param from the call of an earlier run to continue from */
async function run(from?: ForkPoint): Promise<void> {
  if (state !== "ready" || !kernel || !python) return;
  stopping = new AbortController();
  const { signal } = stopping;
  byId("problem").hidden = true;
  byId("banner").hidden = true;
  enter("starting", "Loading the policy");
  if (!(await loadPolicy(kernel))) return enter("ready", "The policy was refused");

  showView("run");
  enter("starting", compiled ? "Starting the agent" : "Compiling Python");
  byId("boot").hidden = true;
  byId("ending").textContent = "";
  terminal.clear();
  terminal.note(from ? `$ python main.py, continuing from call ${from.call}` : "$ python main.py");
  shop.reset();
  usage.clear();
  let ending = "not started";
  let agent: Agent | undefined;
  try {
    const files = { "vak.py": pythonModule, "main.py": program.text, "requests.json": requests };
    const forked = from && (await kernel.fork(from, { program: python, signal }));
    agent = forked?.agent ?? (await kernel.spawn({ name: "python", program: python, files, limits, signal }));
    compiled = true;
    if (!signal.aborted) enter("running", "Running");
    usage.start();
    const run = forked?.run ?? agent.run({ args: ["-u", "/main.py"], signal });
    const counting = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        usage.output(chunk.length);
        controller.enqueue(chunk);
      },
    });
    const out = terminal.pipe("out", run.stdout.pipeThrough(counting));
    const err = terminal.pipe("err", run.stderr);
    const [result] = await Promise.all([run.result, out, err]);
    usage.end(result.usage);
    // Replay applies to complete runs, not to one that continues another.
    if (!from) lastRun = run.id;
    replayButton.disabled = lastRun === undefined;
    ending = describeEnd(result);
    terminal.note(explain(result));
  } catch (error) {
    if (codeOf(error) === "aborted") ending = "stopped before it started";
    else showBanner((error as Error).message);
    terminal.note(ending);
  } finally {
    usage.end();
    await agent?.close();
  }
  byId("ending").textContent = ending;
  if (kernel) enter("ready", `Done: ${ending}`);
}

/** False if the policy was refused; the editor then says why. */
async function loadPolicy({ policy: inForce }: Kernel): Promise<boolean> {
  if (inForce.loaded?.text === policy.text) return true;
  try {
    await inForce.load(policy.text);
    return true;
  } catch (error) {
    if (codeOf(error) === "invalid-policy") showProblem((error as Error).message);
    else showBanner((error as Error).message);
    return false;
  }
}

function showProblem(message: string): void {
  const [, line, column] = /line (\d+), column (\d+)/.exec(message) ?? [];
  showView("edit");
  const [first, ...rest] = message.split("\n");
  byId("problem-text").replaceChildren(el("strong", "", first), ...rest.map((line) => el("code", "", line.trim())));
  byId("problem").hidden = false;
  const go = byId<HTMLButtonElement>("problem-go");
  go.hidden = line === undefined;
  if (line === undefined) return;
  policy.markLine(Number(line));
  go.onclick = () => policy.goTo(Number(line), Number(column));
}

function explain(result: RunResult): string {
  const end = describeEnd(result);
  return result.status === "trapped" || result.status === "failed" ? `[${end}: ${result.message}]` : `[${end}]`;
}

function stop(): void {
  if (state !== "starting" && state !== "running") return;
  enter("stopping", "Stopping");
  stopping.abort();
}

// What went wrong with the kernel itself

const codeOf = (error: unknown) => (error instanceof VakError ? error.code : undefined);

function showBanner(message: string, actions: Record<string, () => void> = {}): void {
  byId("banner-text").textContent = message;
  const buttons = Object.entries({ ...actions, Dismiss: () => {} }).map(([name, act]) => {
    const button = el("button", "quiet", name);
    button.type = "button";
    button.addEventListener("click", () => {
      byId("banner").hidden = true;
      act();
    });
    return button;
  });
  byId("banner-actions").replaceChildren(...buttons);
  byId("banner").hidden = false;
}

function broken(error: unknown): void {
  if (codeOf(error) === "closed") return;
  kernel = undefined; // it can do nothing any more
  enter("broken", "The log has failed");
  verifyButton.disabled = exportButton.disabled = replayButton.disabled = whatIfButton.disabled = true;
  showBanner((error as Error).message, { "Reload the page": () => location.reload() });
}

async function withKernel(act: (kernel: Kernel) => Promise<void>): Promise<void> {
  if (!kernel) return;
  try {
    await act(kernel);
  } catch (error) {
    if (sheet.open) sheet.close();
    showBanner((error as Error).message);
  }
}

// Controls

function showView(view: string): void {
  document.body.dataset.view = view;
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=view]")) {
    input.checked = input.value === view;
  }
}

for (const input of document.querySelectorAll<HTMLInputElement>("input[name=view]")) {
  input.addEventListener("change", () => showView(input.value));
}

runButton.addEventListener("click", () => void run());
stopButton.addEventListener("click", stop);
verifyButton.addEventListener("click", () =>
  withKernel((kernel) => verifyLog(kernel, byId<HTMLInputElement>("tamper").checked)),
);
whatIfButton.addEventListener("click", () =>
  withKernel(async (kernel) => {
    byId("problem").hidden = true;
    await simulatePolicy(kernel, policy.text).catch((error) => {
      if (codeOf(error) !== "invalid-policy") throw error;
      showProblem(error.message);
    });
  }),
);
replayButton.addEventListener("click", () =>
  withKernel(async (kernel) => {
    if (lastRun !== undefined && python) await replayRun(kernel, lastRun, python, (point) => void run(point));
  }),
);
exportButton.addEventListener("click", () =>
  withKernel(async ({ log }) => {
    const link = el("a");
    link.href = URL.createObjectURL(await log.export());
    link.download = "log.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }),
);

// Captured before the editors get them: Ctrl+Enter is one of their commands too.
document.addEventListener(
  "keydown",
  (event) => {
    if (sheet.open || approval.waiting > 0) return; // dialogs handle their own keys
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void run();
    else if (event.key === "Escape" && (state === "starting" || state === "running")) stop();
    else return;
    event.preventDefault();
    event.stopPropagation();
  },
  { capture: true },
);
if (/Mac|iP(hone|ad)/.test(navigator.platform)) byId("run-key").textContent = "⌘ ↵";

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
const showTheme = () => byId("theme").setAttribute("aria-pressed", String(isDark()));
dark.addEventListener("change", showTheme);
byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("vak:theme", root.dataset.theme);
  } catch {} // without storage, it lasts as long as the page
  showTheme();
});
showTheme();

void load();
