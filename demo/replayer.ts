/** A worker that executes a run of the log again, so that the page stays awake meanwhile. */
import { openBundle } from "../src/audit/index.ts";
import { type ForkPoint, forkPoint, type Replay, type ReplayOptions, replay } from "../src/replay/index.ts";

export interface ReplayRequest {
  zip: Blob;
  run: string;
  program: Uint8Array<ArrayBuffer>;
  options: Pick<ReplayOptions, "until" | "steps">;
  /** Instead of a replay: what it takes to go on from this call. */
  fork?: number;
}

export type ReplayReply = { replay: Replay } | { point: ForkPoint } | { error: string };

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ReplayRequest>) => void) | null;
  postMessage(reply: ReplayReply): void;
};

scope.onmessage = async ({ data: { zip, run, program, options, fork } }) => {
  try {
    const bundle = await openBundle(zip);
    if (fork !== undefined) scope.postMessage({ point: await forkPoint(bundle, run, { call: fork }) });
    else scope.postMessage({ replay: await replay(bundle, run, { program, ...options }) });
  } catch (error) {
    scope.postMessage({ error: (error as Error).message });
  }
};
