/** A worker that re-executes runs of an exported log, and goes back in them, so that the page stays responsive. */
import { type Bundle, openBundle } from "../src/audit/index.ts";
import {
  type ForkPoint,
  forkPoint,
  type Looking,
  openReplay,
  type Replay,
  type Replayer,
} from "../src/replay/index.ts";

export type ReplayRequest =
  /** Always first. It is not answered. */
  | { zip: Blob; program: Uint8Array<ArrayBuffer> }
  | { run: string; looking: Looking }
  /** Asks for what is needed to continue from this call. */
  | { run: string; fork: number };

export type ReplayReply = { replay: Replay } | { point: ForkPoint } | { error: string };

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ReplayRequest>) => void) | null;
  postMessage(reply: ReplayReply): void;
};

let opened: Promise<{ bundle: Bundle; replayer: Replayer }>;

async function answer(request: Exclude<ReplayRequest, { zip: Blob }>): Promise<ReplayReply> {
  try {
    const { bundle, replayer } = await opened;
    if ("fork" in request) return { point: await forkPoint(bundle, request.run, { call: request.fork }) };
    return { replay: await replayer.replay(request.run, request.looking) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** Requests are answered in order. */
let turn: Promise<unknown> = Promise.resolve();

scope.onmessage = ({ data }) => {
  if ("zip" in data) {
    const { zip, program } = data;
    opened = openBundle(zip).then(async (bundle) => ({ bundle, replayer: await openReplay(bundle, { program }) }));
    opened.catch(() => {}); // reported with the next request
  } else turn = turn.then(async () => scope.postMessage(await answer(data)));
};
