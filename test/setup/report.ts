/**
 * A Vitest reporter that keeps, for each project, which tests passed in it, and which were not run: what
 * `scripts/support.mjs` makes the support matrix of. It stands between the reporter that prints and the one that writes
 * JSON, which takes an error's stack for all there is to say; in Firefox and WebKit a stack has no message in it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { SerializedError } from "vitest";
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
      for (const test of module.children.allTests()) {
        const { state, errors = [] } = test.result();
        states[test.fullName] = state;
        for (const error of errors) error.stack = explained(error);
      }
      if (module.errors().length) states["the file itself"] = "failed";
      report[relative(root, module.moduleId)] = states;
    }
    for (const [name, report] of projects) writeFileSync(`${folder}/${name}.json`, JSON.stringify(report));
  }
}

/** The stack, after the message and that of its cause. */
function explained({ name, message, stack = "", cause }: SerializedError): string {
  const said = stack.includes(message) ? stack : `${name ?? "Error"}: ${message}\n${stack}`;
  return cause ? `${said}\ncause: ${explained(cause)}` : said;
}
