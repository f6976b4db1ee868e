import { expect, test } from "vitest";
import { createKernel, defineTool } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";

const add = defineTool({
  name: "add",
  description: "Adds two integers.",
  inputSchema: {
    type: "object",
    properties: { a: { type: "integer" }, b: { type: "integer" } },
    required: ["a", "b"],
  },
  execute: ({ a, b }) => a + b,
});
const policy = `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`;

async function text(stream: ReadableStream<Uint8Array>) {
  return new Response(stream).text();
}

test("hello", async () => {
  await using kernel = await createKernel({ policy, tools: [add], log: { name: crypto.randomUUID() } });
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const run = agent.run();
  const result = await run.result;
  console.log(JSON.stringify(result));
  expect(await text(run.stdout)).toBe("hello\n");
});

test("call", async () => {
  await using kernel = await createKernel({ policy, tools: [add], log: { name: crypto.randomUUID() } });
  await using agent = await kernel.spawn({ name: "call", program: await loadGuest("call") });
  const run = agent.run();
  const result = await run.result;
  console.log(JSON.stringify(result), await text(run.stdout));
  for await (const { entry } of kernel.log.entries()) console.log(JSON.stringify(entry));
});
