/**
 * The job that every page does with vak, however it loads it: a kernel, an agent with an allowed and a denied call,
 * and the exported log.
 */

/** @type {string[]} */
const violations = [];
addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
  if (effectiveDirective !== "img-src") violations.push(effectiveDirective); // the browser's own request for an icon
});

/**
 * @param {typeof import("../../src/index.ts")} vak
 * @param {{
 *   kernel?: import("../../src/index.ts").KernelOptions,
 *   spawn?: Partial<import("../../src/index.ts").SpawnOptions>,
 * }} options
 * @returns {Promise<import("./visit.ts").Outcome>}
 */
export async function job({ createKernel, defineTool }, options = {}) {
  /** @type {string[]} */
  const effects = [];
  const add = defineTool({
    name: "add",
    description: "Adds two integers.",
    inputSchema: {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "integer" } },
      required: ["a", "b"],
    },
    execute: ({ a, b }) => {
      effects.push(`add ${a} ${b}`);
      return a + b;
    },
  });
  const wipe = defineTool({
    name: "wipe",
    description: "Wipes a path.",
    inputSchema: { type: "object", properties: { path: { type: "string" } } },
    execute: ({ path }) => {
      effects.push(`wipe ${path}`);
      return "wiped";
    },
  });
  try {
    const kernel = await createKernel({
      policy: `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`,
      tools: [add, wipe],
      log: { name: crypto.randomUUID() },
      ...options.kernel,
    });
    const agent = await kernel.spawn({
      name: "job",
      program: fetch("/agent.wasm"),
      files: { "in.txt": "some input" },
      seed: 1,
      ...options.spawn,
    });
    const run = agent.run();
    const stdout = await new Response(run.stdout).text();
    const { status } = await run.result;
    const file = await agent.files.text("out/result.txt");
    const zip = [...new Uint8Array(await (await kernel.log.export()).arrayBuffer())];
    await kernel.close();
    return { status, stdout, file, effects, zip, violations };
  } catch (error) {
    const { code, message } = /** @type {import("../../src/index.ts").VakError} */ (error);
    return { code, message, violations };
  }
}
