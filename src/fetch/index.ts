/** `vak/fetch`: a tool for network access, and the search for leaks. */
export type { AllowedRequests } from "./allow.ts";
export { type FetchToolOptions, fetchTool } from "./fetch.ts";
export { findLeaks, type Leak, type LeakKind } from "./leaks.ts";
export type { FetchSecret } from "./secrets.ts";
export type { FetchAnswer, FetchInput } from "./shape.ts";
