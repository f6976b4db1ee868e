/** The meter as one script, and browsers to run it in: for the commands that compare it with other implementations. */

import { chromium, firefox } from "playwright";
import { build } from "vite";
import { findBrowsers } from "./browsers.mjs";

/** The meter, as a script that sets the global `meter`. @returns {Promise<string>} */
export async function bundle() {
  const entry = new URL("../src/meter/index.ts", import.meta.url).pathname;
  const result = await build({
    configFile: false,
    logLevel: "error",
    build: { write: false, target: "es2022", lib: { entry, formats: ["iife"], name: "meter", fileName: "meter" } },
  });
  const outputs = [result].flat().flatMap((part) => ("output" in part ? part.output : []));
  const chunk = outputs.find((part) => part.type === "chunk");
  if (!chunk) throw new Error("the meter did not bundle");
  return chunk.code;
}

/** @param {string} engine */
export function launch(engine) {
  if (engine !== "chromium" && engine !== "firefox") throw new Error(`there is no engine ${engine}`);
  const found = findBrowsers()[engine];
  if (!found) throw new Error(`${engine} was not found: run node scripts/browsers.mjs to get it`);
  return (engine === "chromium" ? chromium : firefox).launch(found.launch);
}
