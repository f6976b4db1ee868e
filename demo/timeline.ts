/** Re-executes the last run from the exported log, and shows a timeline on which one can go back. */
import type { ForkPoint, Kernel } from "../src/index.ts";
import type { Looking, Replay, State, Step } from "../src/replay/index.ts";
import { el, formatBytes, formatSeconds } from "./dom.ts";
import type { ReplayReply, ReplayRequest } from "./replayer.ts";
import { closeSheet, finding, onSheetClosed, openSheet, prettyJson } from "./sheet.ts";

/** Longest output and longest file that are shown, characters. */
const MAX_SHOWN = 20_000;

/** The worker that re-executes runs of an exported log. It keeps checkpoints, so that going back is quick. */
class Replays {
  readonly #worker = new Worker(new URL("./replayer.ts", import.meta.url), { type: "module", name: "replay" });
  readonly #waiting: PromiseWithResolvers<ReplayReply>[] = [];
  /** The answer is no longer wanted. */
  ended = false;

  constructor(zip: Blob, program: Uint8Array<ArrayBuffer>) {
    this.#worker.onmessage = ({ data }: MessageEvent<ReplayReply>) => this.#waiting.shift()?.resolve(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "the replay worker could not be started");
    };
    this.#worker.postMessage({ zip, program } satisfies ReplayRequest);
  }

  async #ask(request: ReplayRequest): Promise<Exclude<ReplayReply, { error: string }>> {
    const asked = Promise.withResolvers<ReplayReply>();
    this.#waiting.push(asked);
    this.#worker.postMessage(request);
    const reply = await asked.promise;
    if ("error" in reply) throw new Error(reply.error);
    return reply;
  }

  async replay(run: string, looking: Looking): Promise<Replay> {
    const reply = await this.#ask({ run, looking });
    if ("replay" in reply) return reply.replay;
    throw new Error("the replay worker answered a different request");
  }

  async fork(run: string, call: number): Promise<ForkPoint> {
    const reply = await this.#ask({ run, fork: call });
    if ("point" in reply) return reply.point;
    throw new Error("the replay worker answered a different request");
  }

  end(why: string): void {
    this.ended = true;
    this.#fail(why);
  }

  #fail(why: string): void {
    this.#worker.terminate();
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(why));
  }
}

let replays: Replays | undefined;

export async function replayRun(
  kernel: Kernel,
  run: string,
  program: Uint8Array<ArrayBuffer>,
  onFork: (point: ForkPoint) => void,
): Promise<void> {
  openSheet("Replay", el("p", "aside", "Re-executing the run from the exported log…"));
  const zip = await kernel.log.export();
  const began = performance.now();
  replays?.end("another replay was started");
  replays = new Replays(zip, program);
  const here = replays;
  onSheetClosed(() => here.end("the sheet was closed"));
  const replay = await here.replay(run, { steps: true }).catch((error: Error) => {
    if (here.ended) return undefined;
    throw error;
  });
  if (!replay) return;
  const took = performance.now() - began;
  const same = replay.verdict === "same";
  const good = same || replay.verdict === "interrupted";
  const verdict = el(
    "p",
    `verdict ${good ? "good" : "bad"}`,
    el("strong", "", same ? "The same" : good ? "The same as far as it was stored" : "Different"),
    el("span", "", `${replay.calls} calls, ${million(replay.fuel)} of fuel, in ${formatSeconds(took)}`),
  );
  const parts: HTMLElement[] = [verdict];
  if (!same) parts.push(el("ul", "findings", finding(good ? "info" : "bad", whyNot(replay))));
  if (replay.state) {
    parts.push(...timeline(here, run, replay.steps ?? [], replay.state, onFork));
  }
  openSheet("Replay", ...parts);
}

const million = (fuel: number): string => `${(fuel / 1e6).toFixed(1)} M`;

const whyNot = ({ divergence, missing }: Replay): string =>
  divergence ? `${divergence.what}: recorded ${divergence.recorded}, replayed ${divergence.replayed}` : (missing ?? "");

function timeline(
  replays: Replays,
  run: string,
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
  fork.title = "Continues from this call, under the current policy";

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
  let looking = false;
  // Once someone has looked inside, the view follows the slider.
  slider.addEventListener("change", () => looking && showInside());
  look.addEventListener("click", () => {
    looking = true;
    void showInside();
  });
  const showInside = async () => {
    const number = Number(slider.value);
    inside.replaceChildren(el("p", "aside", "Re-executing the run up to there…"));
    try {
      const state = number > steps.length ? end : (await replays.replay(run, { until: { call: number } })).state;
      if (Number(slider.value) === number && state) inside.replaceChildren(...describeInside(state));
    } catch (error) {
      inside.replaceChildren(el("p", "aside", (error as Error).message));
    }
  };
  fork.addEventListener("click", async () => {
    try {
      const point = await replays.fork(run, Number(slider.value));
      closeSheet();
      onFork(point);
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
    el("h3", "", "Files at this point"),
    el("ul", "findings", ...list),
    el("p", "aside", `${pages} pages of memory, ${Object.keys(globals).length} globals`),
  ];
}
