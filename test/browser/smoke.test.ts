import { expect, test } from "vitest";
test("runs in a browser", () => { expect(typeof Worker).toBe("function"); console.log(navigator.userAgent, "Suspending" in WebAssembly, crossOriginIsolated); });
