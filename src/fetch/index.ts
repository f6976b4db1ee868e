export type { AllowedRequests } from "./allow.ts";
export { type FetchAnswer, type FetchInput, type FetchSecret, type FetchToolOptions, fetchTool } from "./fetch.ts";
export { findLeaks, type Leak, type LeakKind } from "./leaks.ts";
