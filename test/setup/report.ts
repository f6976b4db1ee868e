/**
 * A Vitest reporter that saves the state of every test, a file per project, from which `scripts/support.mjs` makes
 * the support matrix. It must come before the JSON reporter, which prints only an error's stack: in Firefox and
 * WebKit a stack does not contain the message, so this one prepends it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { SerializedError } from "vitest";
import type { Reporter, TestModule } from "vitest/node";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The state of each test, by file and full name. */
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

/** The stack with the error's message before it, and its cause after it. */
function explained({ name, message, stack = "", cause }: SerializedError): string {
  const said = stack.includes(message) ? stack : `${name ?? "Error"}: ${message}\n${stack}`;
  return cause ? `${said}\ncause: ${explained(cause)}` : said;
}
