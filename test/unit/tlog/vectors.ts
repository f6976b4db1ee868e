/** The test vectors of transparency logs, where they are present. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "../shared/vectors";

export const haveVectors = existsSync(FOLDER);
if (!haveVectors)
  console.warn(`SKIPPED: the test vectors are not in ${FOLDER}, so the tests that read them are skipped.`);

export function vectorBytes(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(FOLDER, path)));
}

export function vectorJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(FOLDER, path), "utf8")) as T;
}

export function base64(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, "base64"));
}

export function hex(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, "hex"));
}
