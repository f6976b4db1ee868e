/** Mounts as the page asks for them, checked before anything is opened. */
import { MAX_MOUNTS } from "../audit/vocabulary/mount.ts";
import { VakError } from "../errors.ts";
import type { Wanted } from "../files/mounts.ts";
import { checkLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { SeedFile } from "../protocol/messages.ts";
import type { Agent } from "./agent.ts";
import { checkPath } from "./file-path.ts";
import { checkFiles, type FirstFiles, type Flatten } from "./first-files.ts";

/**
 * A directory of an agent's files that is kept elsewhere: in files that the page gives; in a directory that the page
 * has, one that a person picked or one of the origin private file system; under a name in this origin, which survives a
 * reload; or in another agent's folder, of which this agent gets a copy. `docs/files.md` says what happens when.
 */
export type Mount = (
  | { files: FirstFiles }
  | { directory: FileSystemDirectoryHandle }
  | { persist: string }
  | { agent: Agent; folder?: string }
) & {
  /** Whether the program can only read it. Another agent's folder is always read-only. */
  readOnly?: boolean;
  /** Bytes that it may hold, of the agent's `fileBytes`; all of those unless given. */
  quotaBytes?: number;
  /** Labels of everything in it: the agent has them from its spawn on, whether it reads the mount or not. */
  labels?: readonly string[];
};

/**
 * @param files the agent's first files, which no mount may contain
 * @param agents the kernel's agents that live
 * @throws VakError `invalid-argument`
 */
export function checkMounts(
  mounts: Readonly<Record<string, Mount>>,
  files: Record<string, SeedFile>,
  limits: Limits,
  agents: ReadonlySet<Agent>,
  flatten: Flatten,
): Wanted[] {
  const wanted = Object.entries(mounts).map(([at, mount]) => checkMount(at, mount, limits, agents, flatten));
  const paths = wanted.map(({ path }) => path).filter((path) => path !== "");
  const invalid = (why: string) => new VakError("invalid-argument", `mounts: ${why}.`);
  if (wanted.length > MAX_MOUNTS) throw invalid(`an agent has at most ${MAX_MOUNTS}`);
  for (const path of paths) {
    const clash = [...paths, ...Object.keys(files)].filter((it) => `${it}/`.startsWith(`${path}/`));
    if (clash.length > 1) throw invalid(`${clash.map((it) => `/${it}`).join(" and ")} contain each other`);
  }
  // Parents first, so that what they hold is there when the others are made.
  return wanted.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function checkMount(at: string, mount: Mount, limits: Limits, agents: ReadonlySet<Agent>, flatten: Flatten): Wanted {
  const invalid = (why: string) => new VakError("invalid-argument", `The mount ${JSON.stringify(at)}: ${why}.`);
  const path = at === "/" ? "" : checkPath(at);
  if (typeof mount !== "object" || mount === null) throw invalid("it must be an object");
  const { readOnly, quotaBytes = limits.fileBytes } = mount;
  const labels = checkLabels(mount.labels ?? [], `the mount ${JSON.stringify(at)}`);
  if (readOnly !== undefined && typeof readOnly !== "boolean") throw invalid("readOnly must be true or false");
  if (!Number.isSafeInteger(quotaBytes) || quotaBytes < 1 || quotaBytes > limits.fileBytes) {
    throw invalid(`quotaBytes must be a whole number from 1 to limits.fileBytes, which is ${limits.fileBytes}`);
  }
  const kinds = ["files", "directory", "persist", "agent"].filter((kind) => kind in mount);
  if (kinds.length !== 1) throw invalid("give one of files, directory, persist and agent");
  const common = { path, readOnly: readOnly ?? false, quotaBytes, labels };
  if ("files" in mount) {
    const given = checkFiles(mount.files, limits, labels, flatten);
    return { ...common, labels: given.labels, from: { files: given.files } };
  }
  if ("persist" in mount) return { ...common, from: { persist: mount.persist } };
  if ("directory" in mount) {
    const { directory } = mount;
    if (directory?.kind === "directory") return { ...common, from: { directory } };
    throw invalid("directory must be a FileSystemDirectoryHandle");
  }
  const { agent, folder = "" } = mount;
  if (!agents.has(agent)) throw invalid("agent must be an agent of this kernel that is not closed");
  if (readOnly === false) throw invalid("another agent's folder is a copy, so it is read-only");
  const below = folder === "" || folder === "/" ? "" : checkPath(folder);
  const tree = (detail: "digests" | "bytes") => agent.files.tree(below, detail);
  return { ...common, readOnly: true, from: { agent: { id: agent.id, tree, labels: () => agent.labels } } };
}
