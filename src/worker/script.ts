/** The worker's script: the URL that a worker starts from, and what a page must allow for it. */
import type { Place } from "./place.ts";

export interface WorkerScript {
  url: string;
  /** What to do where the browser refuses to start a worker from it. */
  advice: string;
  /** Frees the URL, once the worker has loaded it or failed to. */
  revoke(): void;
}

const TRUSTED = ", and trusted-types vak where Trusted Types are required";

/** The same for every worker. A longer URL starts more slowly, so only what must be escaped is. */
let dataUrl: string | undefined;

export async function workerScript({ isolation, workerUrl }: Place): Promise<WorkerScript> {
  if (workerUrl !== undefined) {
    const advice =
      `Serve the file vak/worker at ${workerUrl}, and if the page has a Content Security Policy, allow it: ` +
      `worker-src 'self'${TRUSTED}.`;
    return { url: String(workerUrl), advice, revoke: () => {} };
  }
  const { default: workerSource } = await import("virtual:vak-worker");
  const opaque = isolation !== "page";
  const frame = isolation === "frame" ? " and, in script-src, the hash that docs/csp.md gives for frames" : "";
  const advice =
    `If the page has a Content Security Policy, allow the worker: worker-src ${opaque ? "data:" : "blob:"}` +
    `${frame}${TRUSTED}. Or serve the file vak/worker yourself, and pass isolation: "page" and workerUrl.`;
  if (opaque) {
    dataUrl ??= `data:text/javascript;charset=utf-8,${workerSource.replace(/[%#\s]/g, encodeURIComponent)}`;
    return { url: dataUrl, advice, revoke: () => {} };
  }
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  return { url, advice, revoke: () => URL.revokeObjectURL(url) };
}
