/** The commands `vak policy test` and `vak policy replay`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCli } from "../../setup/cli.ts";
import { callVak } from "./call.ts";

const folder = mkdtempSync(join(tmpdir(), "vak-policy-"));
let command: Awaited<ReturnType<typeof buildCli>>;

beforeAll(async () => {
  command = await buildCli(folder);
});

afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | object): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

const tools = [
  {
    name: "add",
    inputSchema: { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
  },
];
const policies = `@id("small") permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`;
const good = { tool: "add", input: { a: 99 }, expect: "allow", by: ["small"] };
const bad = { name: "a hundred is small", tool: "add", input: { a: 100 }, expect: "allow" };

describe("vak policy test", () => {
  test.each([
    [0, file("process.json", { policy: { policies, tests: [good] }, tools })],
    [
      0,
      file("process.mjs", `export const tools = ${JSON.stringify(tools)}, policy = ${JSON.stringify({ policies })};`),
    ],
    [1, file("process-bad.json", { policy: policies, tools: [...tools, ...tools] })],
    [2, join(folder, "none.json")],
    [2, file("process-throws.mjs", 'throw "no";')],
  ])("as a process it ends with %i and prints the same: %s", async (code, path) => {
    const ended = await command("policy", "test", path);
    expect(ended.code).toBe(code);
    expect(ended).toEqual(await callVak("policy", "test", path));
  });

  test("a good policy pack: exit code 0, and what is in it", async () => {
    const { code, out, err } = await callVak(
      "policy",
      "test",
      file("good.json", { policy: { policies, tests: [good] }, tools }),
    );
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("The policy is good: 1 policy, 1 test passed.");
    expect(out).toMatch(/digest {4}[0-9a-f]{64}\n {2}policies {2}small\n/);
  });

  test("a module that exports policy and tools, as a page would import it", async () => {
    const text = `export const tools = ${JSON.stringify(tools)};\nexport const policy = { policies: \`${policies}\`, tests: [${JSON.stringify(good)}] };`;
    expect((await callVak("policy", "test", file("good.mjs", text))).code).toBe(0);
  });

  test("the annotations and labels of tools give their action groups and what they accept", async () => {
    const tested = (labels: string[], tool: string, expected: string) => ({ tool, vak: { labels }, expect: expected });
    const policies = `
      permit (principal, action, resource);
      forbid (principal, action in Action::"network", resource) when { context.vak.labels.contains("secret") };`;
    const inputSchema = { type: "object" };
    const content = {
      policy: {
        policies,
        tests: [
          tested(["secret"], "look", "allow"),
          tested(["secret"], "send", "deny"),
          tested(["untrusted"], "send", "allow"),
          tested(["untrusted"], "look", "deny"),
        ],
      },
      tools: [
        { name: "look", inputSchema, annotations: { openWorldHint: false }, labels: { accepts: ["secret"] } },
        { name: "send", inputSchema },
      ],
    };
    expect(await callVak("policy", "test", file("labels.json", content))).toMatchObject({ code: 0, err: "" });
    content.policy.tests.push(tested([5 as never], "send", "deny"));
    const { code, err } = await callVak("policy", "test", file("labels.json", content));
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("context.vak.labels[0] is not a String") });
  });

  test("tests about URLs and leaks use the tool's own function if there is one, otherwise what the test says", async () => {
    const inputSchema = {
      type: "object",
      properties: { url: { type: "string", format: "http-url" }, text: { type: "string" } },
      required: ["url"],
    };
    const policies = `@id("a") permit (principal, action, resource)
      when { context.input.url.host == "a.example" && context.vak.leaks.isEmpty() };`;
    const input = { url: "HTTPS://A.example", text: "1234" };
    const leaks = `({ text }) => ({ kinds: text ? ["pin"] : [] })`;
    const tests = [
      { tool: "open", input: { url: input.url }, expect: "allow" },
      { tool: "open", input, expect: "deny" },
      { tool: "open", input: { url: "https://b.example" }, expect: "deny" },
    ];
    const text = `export const tools = [{ name: "open", inputSchema: ${JSON.stringify(inputSchema)}, leaks: ${leaks} }];
      export const policy = ${JSON.stringify({ policies, tests })};`;
    expect(await callVak("policy", "test", file("leaks.mjs", text))).toMatchObject({ code: 0, err: "" });
    const said = [tests[0], { tool: "open", input, vak: { leaks: ["pin"] }, expect: "deny" }, tests[2]];
    const json = { policy: { policies, tests: said }, tools: [{ name: "open", inputSchema, leaks: true }] };
    expect(await callVak("policy", "test", file("leaks.json", json))).toMatchObject({ code: 0, err: "" });
    const without = { policy: { policies }, tools: [{ name: "open", inputSchema }] };
    expect((await callVak("policy", "test", file("unseen.json", without))).err).toContain("leaks");
  });

  test("a test that fails: exit code 1, and what was decided instead", async () => {
    const { code, out, err } = await callVak(
      "policy",
      "test",
      file("bad.json", { policy: { policies, tests: [good, bad] }, tools }),
    );
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(
      '1 of its tests failed:\n    test "a hundred is small" expects allow, but the decision is: deny, no-permit\n',
    );
  });

  test("a policy that does not validate: exit code 1, with line and column", async () => {
    const text = "permit (principal, action, resource)\nwhen { context.input.b == 1 };";
    const { code, err } = await callVak("policy", "test", file("invalid.json", { policy: text, tools }));
    expect(code).toBe(1);
    expect(err).toContain("line 2");
  });

  test("input that the broker would refuse fails the test", async () => {
    for (const input of [{ a: "1" }, { a: 1, b: 2 }, {}]) {
      const denied = { tool: "add", input, expect: "deny" };
      const { code, err } = await callVak(
        "policy",
        "test",
        file("input.json", { policy: { policies, tests: [denied] }, tools }),
      );
      expect(code).toBe(1);
      expect(err).toContain("test 1 could not be put to the policy: input");
    }
  });

  test.each([
    ["no file", [], "Give one file"],
    ["no such file", [join(folder, "none.json")], `vak: There is no file ${join(folder, "none.json")}.\n`],
    ["no such module", [join(folder, "none.mjs")], `vak: There is no file ${join(folder, "none.mjs")}.\n`],
    ["a directory", [folder], `vak: ${folder} is a directory.\n`],
    ["a file that is not JSON", [file("no.json", "{")], "cannot be read"],
    ["a file without a policy", [file("empty.json", {})], "holds no policy"],
    ["tools that are no list", [file("no-list.json", { policy: "", tools: {} })], "holds no list of tools"],
    ["an option for logs", ["a.json", "--json"], "none of the options for logs"],
    ["a file that is null", [file("null.json", "null")], "holds no policy"],
    ["a module that throws", [file("throws.mjs", "throw new Error('no');")], "cannot be read: no\n"],
    ["a module that throws a string", [file("throws-text.mjs", "throw 'no';")], "cannot be read: no\n"],
    ["a module that throws nothing", [file("throws-null.mjs", "throw null;")], "cannot be read: null\n"],
  ])("%s: exit code 2", async (_, args, message) => {
    const { code, out, err } = await callVak("policy", "test", ...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  test("a tool that throws a string when it is read: exit code 1, and the string", async () => {
    const text = `export const policy = "", tools = [{ get name() { throw "no"; } }];`;
    const ended = await callVak("policy", "test", file("throws-later.mjs", text));
    expect(ended).toEqual({ code: 1, out: "", err: "vak: no\n" });
  });

  test("any other policy command is misuse", async () => {
    expect(await callVak("policy", "change", "x")).toMatchObject({ code: 2 });
  });
});
