/**
 * A Vitest reporter that keeps, for each project, which tests passed in it, and which were not run: what
 * `scripts/support.mjs` makes the support matrix of.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Reporter, TestModule } from "vitest/node";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** By file: the state of each test, by its full name. */
export type Report = Record<string, Record<string, "passed" | "failed" | "skipped" | "pending">>;

export default class ProjectReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const folder = `${root}node_modules/.cache/vak/projects`;
    mkdirSync(folder, { recursive: true });
    const projects = new Map<string, Report>();
    for (const module of modules) {
      const report = projects.get(module.project.name) ?? {};
      projects.set(module.project.name, report);
      const states: Report[string] = {};
      for (const test of module.children.allTests()) states[test.fullName] = test.result().state;
      if (module.errors().length) states["the file itself"] = "failed";
      report[relative(root, module.moduleId)] = states;
    }
    for (const [name, report] of projects) writeFileSync(`${folder}/${name}.json`, JSON.stringify(report));
  }
}
