/** A save point: where a session can resume, between two runs or within one. */
import type { Instance } from "../sandbox/instance.ts";
import type { Capture } from "./capturer.ts";
import type { Progress } from "./comparing.ts";
import type { Contents } from "./contents.ts";
import type { Host } from "./host-state.ts";
import type { Outputs } from "./output.ts";

export interface SavePoint {
  /** The number of the run that it precedes or lies within. */
  run: number;
  host: Host;
  /** The instance that a reactor has between two calls; its exports are created afresh. */
  kept: { instance: HostSide; contents: Contents } | undefined;
  inside: Inside | undefined;
}

/** What the host keeps of an instance. */
export type HostSide = Omit<Instance, "exports">;

export const hostSide = ({ memory, process }: Instance): HostSide => ({ memory, process });

/** The state within a run. */
export interface Inside {
  instance: HostSide;
  capture: Capture;
  progress: Progress;
  output: Outputs;
}

/** Save points to make within a run: how many, the work done at the last that exists, and what takes them. */
export interface SavePointPlan {
  count: number;
  after: number;
  onSavePoint(savePoint: SavePoint): void;
}
