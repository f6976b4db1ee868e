/** The shape of a request and of its answer: as types, and as the JSON Schemas of the tool. */
import type { JsonSchema } from "../tool/schema.ts";
import { HEADER_VALUE, MAX_HEADER } from "./headers.ts";

export interface FetchInput {
  readonly url: string;
  readonly method: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
  readonly encoding?: "utf-8" | "base64";
}

export interface FetchAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
  /** Of `body`: `base64` if it is not UTF-8. */
  readonly encoding: "utf-8" | "base64";
}

/** Has no group that repeats, because engines need stack for those. */
const BASE64 = "^[A-Za-z0-9+/]*={0,2}$";

/**
 * @param allowed a schema for each entry of `allow`; a request must match one of them
 * @param headers names of the headers that a guest may send
 */
export function inputSchema(allowed: object[], methods: string[], headers: readonly string[]): JsonSchema {
  const value = { type: "string", maxLength: MAX_HEADER, pattern: HEADER_VALUE };
  return {
    type: "object",
    properties: {
      url: { type: "string", format: "http-url" },
      method: { enum: methods },
      headers: {
        type: "object",
        properties: Object.fromEntries(headers.map((name) => [name, value])),
        additionalProperties: false,
      },
      body: { type: "string" },
      encoding: { enum: ["utf-8", "base64"] },
    },
    required: ["url", "method"],
    additionalProperties: false,
    anyOf: allowed,
    allOf: [
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      { if: { properties: { method: { enum: ["GET", "HEAD"] } } }, then: { properties: { body: false } } },
      {
        if: { properties: { encoding: { const: "base64" } }, required: ["encoding"] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { properties: { body: { pattern: BASE64 } } },
      },
    ],
  };
}

export const OUTPUT_SCHEMA = {
  type: "object",
  properties: {
    status: { type: "integer" },
    headers: { type: "object", additionalProperties: { type: "string" } },
    body: { type: "string" },
    encoding: { enum: ["utf-8", "base64"] },
  },
  required: ["status", "headers", "body", "encoding"],
};
