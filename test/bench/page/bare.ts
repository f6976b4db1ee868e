/** Starts bare workers, in the page: see bare-worker.ts. */
import type { BareRequest } from "./bare-worker.ts";

/** A message from the bare worker. */
export type BareMessage = { output: Uint8Array } | { call: Uint8Array<ArrayBuffer> } | { end: true };

const source = await (await fetch("/page/bare-worker.js")).text();
/** A `data:` URL, as for an agent's worker, made once and in advance so that starting a bare worker is as fast. */
const url = `data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`;

/** Starts a bare worker and sends it the program. */
export function runBare(request: BareRequest, onMessage: (message: BareMessage) => void): Worker {
  const worker = new Worker(url);
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = ({ message }) => {
    throw new Error(`the bare worker failed: ${message}`);
  };
  worker.postMessage(request);
  return worker;
}

export async function fetchBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} was answered with status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
