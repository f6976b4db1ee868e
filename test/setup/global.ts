import type { TestProject } from "vitest/node";
import { buildGuests } from "../../scripts/guests.mjs";
import { startWeb } from "./web.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Origins of the servers in `web.ts`. */
    web: { good: string; evil: string };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [, web] = await Promise.all([buildGuests(), startWeb()]);
  project.provide("web", { good: web.good, evil: web.evil });
  return async () => web[Symbol.asyncDispose]();
}
