/** The first stage: the bytes that a guest sent become a request for a tool, or are refused. */
import { isObject } from "../base/guards.ts";
import type { Refusal } from "./call.ts";

/** What a guest asks for. Its input is any JSON. */
export interface CallRequest {
  tool: string;
  input: unknown;
  /** The length that the guest sent. */
  byteLength: number;
}

// Skips a byte order mark, as `fromUtf8` of base/ does not.
const decoder = new TextDecoder("utf-8", { fatal: true });

export function parseRequest(bytes: Uint8Array): CallRequest | { refusal: Refusal } {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return malformed("The request is not JSON in UTF-8.");
  }
  if (!isObject(value)) return malformed("The request is not a JSON object.");
  const { tool, input = {}, ...rest } = value;
  if (typeof tool !== "string") return malformed('The request has no "tool" that is a string.');
  if (!tool.isWellFormed()) return malformed("The tool's name is not well-formed.");
  if (Object.keys(rest).length > 0) return malformed('A request has a "tool" and an "input", and nothing else.');
  return { tool, input, byteLength: bytes.byteLength };
}

const malformed = (message: string) => ({ refusal: { code: "malformed", message } as const });
