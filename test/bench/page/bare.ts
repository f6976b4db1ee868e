import type { BareRequest } from "./bare-worker.ts";

/** What the bare worker posts. */
export type BareMessage = { output: Uint8Array } | { call: Uint8Array<ArrayBuffer> } | { end: true };

const source = await (await fetch("/page/bare-worker.js")).text();
/** Made once and beforehand: the twin of a vak agent's worker, and no slower. */
const url = `data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`;

/** Starts a bare worker and gives it the program. */
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
  if (!response.ok) throw new Error(`no ${path}`);
  return new Uint8Array(await response.arrayBuffer());
}
