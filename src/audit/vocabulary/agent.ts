/** Entries about agents: how they begin and end, their rights and labels. */
import { counts, digest, integer, listOf, optional, orNull, text, texts } from "../fields.ts";
import { agent, type EntryOf, entry, labels } from "./common.ts";
import { MAX_MOUNTS, mount } from "./mount.ts";

/** An agent was created. */
export interface AgentSpawn extends EntryOf<typeof agentSpawn> {}
export const agentSpawn = entry("agent-spawn", {
  agent,
  /** In the units of `Limits`. */
  limits: counts,
  seed: integer,
  isolation: text,
  /** Versions of cost table, meter and sandbox: where these are equal, a run executes in the same way. */
  machine: text,
  /** Id of the agent that it descends from, whose rights it never exceeds; absent where there is none. */
  parent: optional(text),
  /** The tools that it may call; absent where it is not restricted to some. */
  grants: optional(texts),
  /** Absent where there are none. */
  mounts: optional(listOf(mount, MAX_MOUNTS)),
  /** Its labels from the beginning: those of its files and of its parent; absent where there are none. */
  labels: optional(labels),
});

/** An agent could not be created. */
export interface SpawnRefused extends EntryOf<typeof spawnRefused> {}
export const spawnRefused = entry("spawn-refused", {
  name: text,
  /** Null when there was no program to hash. */
  program: orNull(digest),
  message: text,
});

/** The agent was closed. */
export interface AgentClose extends EntryOf<typeof agentClose> {}
export const agentClose = entry("agent-close", { agent });

/** The host says that the agent now holds data with these labels, beyond what other entries say. */
export interface AgentLabel extends EntryOf<typeof agentLabel> {}
export const agentLabel = entry("agent-label", { agent, labels });

/** The host says that nothing the agent holds, in its memory or its files, has these labels any longer. */
export interface AgentDeclassify extends EntryOf<typeof agentDeclassify> {}
export const agentDeclassify = entry("agent-declassify", {
  agent,
  /** Labels that it had. */
  labels,
  /** Who says so. */
  by: text,
  reason: text,
});

/** From here on the agent may call only these tools, of those it could call before. */
export interface AgentAttenuate extends EntryOf<typeof agentAttenuate> {}
export const agentAttenuate = entry("agent-attenuate", { agent, grants: texts });

/** From here on the agent may call no tool, and neither may the agents that descend from it. */
export interface AgentRevoke extends EntryOf<typeof agentRevoke> {}
export const agentRevoke = entry("agent-revoke", { agent });
