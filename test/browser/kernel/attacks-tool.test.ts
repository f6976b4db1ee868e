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

test("attack: a name in an answer that a message would cut in the middle of a character", async () => {
  const name = `${"x".repeat(63)}😀`;
  const far = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [i, 1]));
  let answer: unknown;
  const outputSchema = { type: "object", properties: {} } as const;
  const tool = failing("odd", { outputSchema, execute: () => answer });
  const policy = "permit (principal, action, resource);";
  for (answer of [{ [name]: 1 }, { [`${"y".repeat(62)}${name}`]: 1 }, { ...far, [name]: 1 }]) {
    await using kernel = await testKernel({ tools: [tool], policy });
    await using agent = await kernel.spawn({ name: "a", program: await loadGuest("requests") });
    const answers = await calls(agent, { tool: "odd", input: {} });
    expect(answers).toMatchObject([{ error: { code: "tool-error" } }]);
    expect(await entriesOf(kernel, "outcome")).toHaveLength(1);
    expect(await entriesOf(kernel, "run-end")).toMatchObject([{ status: "exited" }]);
  }
});

test("attack: a unit that a tool charges, named by a server, does not keep the outcome out of the log", async () => {
  const charges: string[][] = [
    ["\ud800"],
    ["x".repeat(70_000)],
    Array.from({ length: 5000 }, (_, i) => `unit ${i}`),
    [""],
  ];
  const budgets = { all: { of: "calls", limit: 9, per: "kernel" } } as const;
  for (const units of charges) {
    const charging = defineTool({
      name: "charging",
      description: "Charges units.",
      inputSchema: { type: "object" },
      execute: (_, { charge }) => units.forEach((unit) => void charge(unit, 1)),
    });
    const cost = failing("costing", { cost: () => Object.fromEntries(units.map((unit) => [unit, 1])) });
    const policy = "permit (principal, action, resource);";
    await using kernel = await testKernel({ tools: [charging, cost], policy, budgets });
    await using agent = await kernel.spawn({ name: "a", program: await loadGuest("requests") });
    const answers = await calls(agent, { tool: "charging", input: {} }, { tool: "costing", input: {} });
    expect(answers).toMatchObject([{ error: { code: "tool-error" } }, { error: { code: "denied" } }]);
    expect(await entriesOf(kernel, "outcome")).toHaveLength(1);
    expect(await entriesOf(kernel, "run-end")).toMatchObject([{ status: "exited" }]);
  }
});
