import { expect, test } from "vitest";
import { createKernel, defineTool } from "../../../src/index.ts";
import { pythonModule } from "../../../src/runtimes/python.ts";
import { loadPython } from "../../guests/load.ts";
import job from "../../guests/job.py?raw";

const integers = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
} as const;
const add = defineTool({ name: "add", description: "Adds.", inputSchema: integers, execute: ({ a, b }) => a + b });
const wipe = defineTool({ name: "wipe", description: "Wipes.", inputSchema: { type: "object" , properties: {}}, execute: () => "wiped" });
const policy = `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`;

test("python", async () => {
  await using kernel = await createKernel({ policy, tools: [add, wipe], log: { name: crypto.randomUUID() } });
  const program = await loadPython();
  for (let i = 0; i < 2; i++) {
    const t = performance.now();
    await using agent = await kernel.spawn({
      name: "python",
      program,
      files: { "vak.py": pythonModule, "job.py": job, "in.txt": "hello\n", "in.json": '{"a":1}' },
    });
    const t1 = performance.now();
    const run = agent.run({ args: ["-u", "/job.py"] });
    const out = new Response(run.stdout).text();
    const err = new Response(run.stderr).text();
    const result = await run.result;
    console.log(t1 - t, performance.now() - t1, JSON.stringify(result), await out, await err, JSON.stringify(await agent.files.list()));
    expect(result.status).toBe("exited");
  }
  const zip = await kernel.log.export();
  console.log(zip.size);
}, 60_000);
