/** Vitest's global setup: builds the guests, starts the test web, and reads Cedar's test vectors. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildGuests } from "../../scripts/guests.mjs";
import { startWeb } from "./web.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Origins of the servers in `web.ts`. */
    web: { good: string; evil: string };
    /** The texts of Cedar's own tests, by path; empty if they are not here. */
    cedarVectors: Record<string, string>;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [, web] = await Promise.all([buildGuests(), startWeb()]);
  project.provide("web", { good: web.good, evil: web.evil });
  project.provide("cedarVectors", readTexts("../shared/vectors/cedar"));
  return async () => web[Symbol.asyncDispose]();
}

function readTexts(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => path.replaceAll("\\", "/"));
  const files = paths.filter((path) => /\.(json|cedar|cedarschema)$/.test(path));
  return Object.fromEntries(files.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}
