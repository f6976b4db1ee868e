/** Makes the page like a browser without JavaScript Promise Integration, which the kernel detects. */
const jspi = WebAssembly as unknown as { Suspending?: unknown; promising?: unknown };
delete jspi.Suspending;
delete jspi.promising;
