/** Starting workers, a bounded number at a time. */
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import { capacity } from "./capacity.ts";
import { type Channel, workerChannel } from "./channel.ts";
import { Host } from "./host.ts";
import type { Place } from "./place.ts";
import { workerScript } from "./script.ts";
import { trusted } from "./trusted-types.ts";

/**
 * Starts a worker that serves nobody yet, and does not wait until it is ready.
 *
 * @throws VakError `unsupported` when the browser will not start the worker; `Host.ready` may reject with it too
 */
export async function startWorker(place: Place): Promise<Host> {
  const script = await workerScript(place).catch((cause) => {
    throw new VakError("unsupported", `The worker's script did not load: ${errorText(cause)}.`, { cause });
  });
  const started = await turnToStart();
  const notStarted = (cause: unknown): VakError => {
    const message = `The agent's worker could not be started (${errorText(cause)}). ${script.advice}`;
    return new VakError("unsupported", message, { cause });
  };
  try {
    // Chromium and Firefox report a refusal by the page's policy as an error event, WebKit throws it.
    const host = new Host(
      await openChannel(place, script.url),
      place.isolation === "frame" ? capacity.frame : capacity.page,
      notStarted,
    );
    host.ready.then(script.revoke, script.revoke);
    host.ready.then(started, started);
    return host;
  } catch (cause) {
    script.revoke();
    started();
    throw notStarted(cause);
  }
}

async function openChannel({ isolation }: Place, url: string): Promise<Channel> {
  if (isolation !== "frame") return workerChannel(new Worker(trusted("createScriptURL", url), { name: "vak" }));
  const { openFrame } = await import("./frame.ts");
  return openFrame(url, (html) => trusted("createHTML", html));
}

/**
 * Workers that start at once. The others wait their turn, so that a burst of spawns does not look like hung workers.
 */
const STARTS = 16;
let starting = 0;
const waiting: (() => void)[] = [];

/** Waits for a slot; call the result to free it. */
async function turnToStart(): Promise<() => void> {
  if (starting >= STARTS) await new Promise<void>((resolve) => waiting.push(resolve));
  else starting++;
  return () => {
    const next = waiting.shift();
    if (next) next();
    else starting--;
  };
}
