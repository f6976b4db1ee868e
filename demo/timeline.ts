/** The last run, executed again from the exported log; and its timeline, on which one can go back. */
import type { ForkPoint, Kernel } from "../src/index.ts";
import type { Replay, State, Step } from "../src/replay/index.ts";
import { el, formatBytes, formatSeconds } from "./dom.ts";
import type { ReplayReply, ReplayRequest } from "./replayer.ts";
import { closeSheet, finding, openSheet, prettyJson } from "./sheet.ts";

/** Longest output and longest file that are shown, characters. */
const MAX_SHOWN = 20_000;

function ask(request: ReplayRequest): Promise<Exclude<ReplayReply, { error: string }>> {
  const worker = new Worker(new URL("./replayer.ts", import.meta.url), { type: "module", name: "replay" });
  const { promise, resolve, reject } = Promise.withResolvers<Exclude<ReplayReply, { error: string }>>();
  worker.onmessage = ({ data }: MessageEvent<ReplayReply>) => {
    if ("error" in data) reject(new Error(data.error));
    else resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message || "the worker that replays could not be started"));
  };
  worker.postMessage(request);
  return promise.finally(() => worker.terminate());
}

async function execute(request: ReplayRequest): Promise<Replay> {
  const reply = await ask(request);
  if ("replay" in reply) return reply.replay;
  throw new Error("the worker answered another question");
}

export async function replayRun(
  kernel: Kernel,
  run: string,
  program: Uint8Array<ArrayBuffer>,
  onFork: (point: ForkPoint) => void,
): Promise<void> {
  openSheet("Replay", el("p", "aside", "Executing the run again, from the exported log…"));
  const zip = await kernel.log.export();
  const began = performance.now();
  const replay = await execute({ zip, run, program, options: { steps: true } });
  const took = performance.now() - began;
  const same = replay.verdict === "same";
  const verdict = el(
    "p",
    `verdict ${same ? "good" : "bad"}`,
    el("strong", "", same ? "The same" : "Another thing"),
    el("span", "", `${replay.calls} calls, ${million(replay.fuel)} of fuel, in ${formatSeconds(took)}`),
  );
  const parts: HTMLElement[] = [verdict];
  if (!same) parts.push(el("ul", "findings", finding("bad", whyNot(replay))));
  if (replay.state) {
    const request = { zip, run, program, options: {} };
    parts.push(...timeline(request, replay.steps ?? [], replay.state, onFork));
  }
  openSheet("Replay", ...parts);
}

const million = (fuel: number): string => `${(fuel / 1e6).toFixed(1)} M`;

const whyNot = ({ divergence, missing }: Replay): string =>
  divergence ? `${divergence.what}: recorded ${divergence.recorded}, replayed ${divergence.replayed}` : (missing ?? "");

function timeline(
  request: ReplayRequest,
  steps: Step[],
  end: State,
  onFork: (point: ForkPoint) => void,
): HTMLElement[] {
  const slider = el("input", "timeline");
  slider.type = "range";
  slider.id = "timeline";
  slider.min = "1";
  slider.max = String(steps.length + 1);
  slider.value = slider.max;
  const label = el("label", "", "Go back to");
  label.htmlFor = slider.id;
  const where = el("p", "aside");
  where.id = "timeline-where";
  const call = el("div");
  const output = el("pre", "json");
  output.tabIndex = 0;
  output.ariaLabel = "Output so far";
  const inside = el("div");
  const look = el("button", "quiet", "Look inside");
  look.type = "button";
  const fork = el("button", "quiet", "Fork from here");
  fork.type = "button";
  fork.title = "Goes on from this call, under the policy as it is now";

  const show = () => {
    const step = steps[Number(slider.value) - 1];
    const { fuel, memoryBytes, stdout } = step ?? {
      fuel: end.fuel,
      memoryBytes: end.memory.length,
      stdout: end.stdout.length,
    };
    const place = step ? `Call ${step.call} of ${steps.length}` : "The end";
    where.textContent = `${place} · ${million(fuel)} of fuel · ${formatBytes(memoryBytes)} of memory`;
    slider.ariaValueText = place;
    fork.disabled = step === undefined;
    output.textContent = clip(new TextDecoder().decode(end.stdout.subarray(0, stdout))) || "(nothing yet)";
    inside.replaceChildren();
    call.replaceChildren(...(step ? [el("h3", "", "The call"), pretty(step.request), pretty(step.answer ?? "")] : []));
  };
  slider.addEventListener("input", show);
  look.addEventListener("click", async () => {
    const number = Number(slider.value);
    inside.replaceChildren(el("p", "aside", "Executing the run up to there…"));
    try {
      const options = { until: { call: number } };
      const state = number > steps.length ? end : (await execute({ ...request, options })).state;
      if (Number(slider.value) === number && state) inside.replaceChildren(...describeInside(state));
    } catch (error) {
      inside.replaceChildren(el("p", "aside", (error as Error).message));
    }
  });
  fork.addEventListener("click", async () => {
    try {
      const reply = await ask({ ...request, fork: Number(slider.value) });
      if (!("point" in reply)) return;
      closeSheet();
      onFork(reply.point);
    } catch (error) {
      inside.replaceChildren(el("p", "aside", (error as Error).message));
    }
  });
  show();
  return [
    el("section", "", el("h3", "", label), slider, where),
    el("section", "", call, el("h3", "", "Output so far"), output),
    el("section", "", look, fork, inside),
  ];
}

function pretty(json: string): HTMLElement {
  try {
    return prettyJson(JSON.parse(json));
  } catch {
    return el("pre", "json", json);
  }
}

const clip = (text: string): string => (text.length > MAX_SHOWN ? `…${text.slice(-MAX_SHOWN)}` : text);

function describeInside({ files, memory, globals }: State): HTMLElement[] {
  const list = [...files].map(([path, bytes]) => finding("info", path, formatBytes(bytes.length)));
  const pages = Math.ceil(memory.length / 65_536);
  return [
    el("h3", "", "Files there"),
    el("ul", "findings", ...list),
    el("p", "aside", `${pages} pages of memory, ${Object.keys(globals).length} globals`),
  ];
}
