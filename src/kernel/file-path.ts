/** Paths of an agent's files, as the page gives them. */
import { VakError } from "../errors.ts";

/**
 * The path without a leading slash.
 *
 * @throws VakError `invalid-argument` for a path that no guest could name
 */
export function checkPath(path: string): string {
  const parts = typeof path === "string" ? path.replace(/^\//, "").split("/") : [""];
  const bad = parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"));
  if (bad || parts[0] === "dev" || !path.isWellFormed()) {
    throw new VakError(
      "invalid-argument",
      `${JSON.stringify(path)} is not a path of an agent's file: write it as "a/b.txt", without "..", and outside dev/.`,
    );
  }
  return parts.join("/");
}
