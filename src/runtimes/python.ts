/** `vak/python`: the Python module with which a CPython guest calls tools. */
import source from "./vak.py?raw";

/**
 * The source of the Python module `vak`, for a CPython guest: `vak.call("add", a=1, b=2)`. Put it among the agent's
 * files where Python looks for modules, such as beside the script.
 *
 * @example
 * const agent = await kernel.spawn({
 *   name: "python",
 *   program: fetch("/python.wasm"),
 *   files: { "vak.py": pythonModule, "main.py": `import vak\nprint(vak.call("add", a=1, b=2))` },
 * });
 * const run = agent.run({ args: ["-u", "/main.py"] });
 */
export const pythonModule: string = source;
