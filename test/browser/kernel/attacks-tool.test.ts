/** Attacks by a tool, or by a server that a tool passes on. */
import { expect, test } from "vitest";
import { defineTool, type Tool } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { calls, entriesOf, testKernel } from "../../setup/kernel.ts";

/** JSON that a server may send as its error: `String()` of it throws. */
const NO_TEXT = { toString: 1, valueOf: 1 };
const failing = (name: string, more: Partial<Tool> = {}) =>
  defineTool({
    name,
    description: "Fails.",
    inputSchema: { type: "object" },
    execute: () => {
      throw NO_TEXT;
    },
    ...more,
  });
const fail = () => {
  throw NO_TEXT;
};

test("attack: a thrown value that has no text ends no run, and every intent has its outcome", async () => {
  const tools = [failing("throws"), failing("leaks", { leaks: fail }), failing("asks")];
  const policy = `permit (principal, action, resource) when { action != Action::"call:asks" || context.vak.approved };`;
  await using kernel = await testKernel({ tools, policy, onApproval: fail });
  await using agent = await kernel.spawn({ name: "a", program: await loadGuest("requests") });
  const answers = await calls(
    agent,
    { tool: "throws", input: {} },
    { tool: "leaks", input: {} },
    { tool: "asks", input: {} },
  );
  const message = "an error without a message";
  expect(answers[0]).toEqual({ error: { code: "tool-error", message } });
  expect(answers.slice(1)).toMatchObject([{ error: { code: "denied" } }, { error: { code: "denied" } }]);
  expect(await entriesOf(kernel, "intent")).toHaveLength(1);
  expect(await entriesOf(kernel, "outcome")).toMatchObject([{ status: "error", error: "tool-error" }]);
  expect(await entriesOf(kernel, "run-end")).toMatchObject([{ status: "exited" }]);
});
