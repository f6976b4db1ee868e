/** Every Content Security Policy in docs/csp.md is sufficient; where a directive is missing, the error names it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, inject, test } from "vitest";
import type { KernelOptions } from "../../src/index.ts";
import { type Server, serve } from "../serve.ts";
import { browsers } from "../setup/launch.ts";
import { expectDone, page, visit } from "./visit.ts";

const app = inject("app");
const open = await Promise.all(browsers.map(async ({ name, launch }) => ({ name, browser: await launch() })));
afterAll(() => Promise.all(open.map(({ browser }) => browser.close())));

/** A site that sends the policy with every response, including workers. */
function strictPage(policy: string, kernel: KernelOptions): Promise<Server> {
  const script = `
    import * as vak from "/vak/vak.js";
    import { job } from "/job.js";
    globalThis.outcome = job(vak, { kernel: ${JSON.stringify(kernel)} });`;
  return serve({
    directories: {
      "/vak/": join(app, "node_modules/vak/dist"),
      "/job.js": join(app, "job.js"),
      "/agent.wasm": join(app, "public/agent.wasm"),
    },
    pages: { "/": page('<script type="module" src="/main.js"></script>'), "/main.js": script },
    headers: { "Content-Security-Policy": policy },
  });
}

const base = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
const bySelf = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
const trusted = "require-trusted-types-for 'script'; trusted-types vak";
const isolation = "page";
const workerUrl = "/vak/worker.js";
const frame: KernelOptions = { isolation: "frame" };
/** The policy for frames, from docs/csp.md. */
const framed = readFileSync(join(import.meta.dirname, "../../docs/csp.md"), "utf8").match(
  /```text run=csp-frame\n(.*)\n```/,
)![1]!;

describe.each<[string, string, KernelOptions]>([
  ["a data: worker", `${base}; worker-src data:`, {}],
  ["a blob: worker", `${base}; worker-src blob:`, { isolation }],
  ["a worker of one's own", `${base}; worker-src 'self'`, { isolation, workerUrl }],
  ["a worker of one's own, by default-src", bySelf, { isolation, workerUrl }],
  ["a data: worker and Trusted Types", `${base}; worker-src data:; ${trusted}`, {}],
  ["a data: worker and any Trusted Types", `${base}; worker-src data:; require-trusted-types-for 'script'`, {}],
  ["a blob: worker and Trusted Types", `${base}; worker-src blob:; ${trusted}`, { isolation }],
  ["a worker of one's own and Trusted Types", `${base}; worker-src 'self'; ${trusted}`, { isolation, workerUrl }],
  ["a data: worker, by default-src, and Trusted Types", `${bySelf}; worker-src data:; ${trusted}`, {}],
  ["a blob: worker, by default-src, and Trusted Types", `${bySelf}; worker-src blob:; ${trusted}`, { isolation }],
  ["a worker in a frame", framed, frame],
  ["a worker in a frame and Trusted Types", `${framed}; ${trusted}`, frame],
])("sufficient: %s", (_, policy, kernel) => {
  test.each(open)("$name does the job", async ({ browser }) => {
    await using server = await strictPage(policy, kernel);
    await expectDone(await visit(browser, server.url));
  });
});

describe.each<[string, string, KernelOptions, string]>([
  ["a data: worker", base, {}, "worker-src data:"],
  ["a blob: worker", `${base}; worker-src data:`, { isolation }, "worker-src blob:"],
  ["a worker of one's own", `${base}; worker-src data:`, { isolation, workerUrl }, "worker-src 'self'"],
  ["a worker in a frame", framed.replace("worker-src data:", ""), frame, "worker-src data:"],
  ["the script of a frame", `${base}; worker-src data:`, frame, "the hash that docs/csp.md gives"],
  ["the worker's file", base, { isolation, workerUrl: "/vak/no.js" }, "Serve the file vak/worker at /vak/no.js"],
  [
    "the Trusted Types policy",
    `${base}; worker-src data:; ${trusted.replace("vak", "'none'")}`,
    {},
    "trusted-types vak",
  ],
])("missing: %s", (_, policy, kernel, advice) => {
  test.each(open)("$name: the error says what to add", async ({ browser }) => {
    await using server = await strictPage(policy, kernel);
    const { outcome } = await visit(browser, server.url);
    expect(outcome).toMatchObject({ code: "unsupported", message: expect.stringContaining(advice) });
  });
});
