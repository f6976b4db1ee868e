// As in a browser without JavaScript Promise Integration: the kernel chooses by what the page has.
const jspi = WebAssembly as unknown as { Suspending?: unknown; promising?: unknown };
delete jspi.Suspending;
delete jspi.promising;
