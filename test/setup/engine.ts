/** Which engine runs a test. */

/** True in Node, false in every browser and worker. */
export const inNode = typeof process === "object" && typeof process.versions?.node === "string";

/** The engine that runs this test, for the few tests that some engine cannot pass. */
export const engine: "node" | "chromium" | "firefox" | "webkit" = inNode
  ? "node"
  : /Firefox\//.test(navigator.userAgent)
    ? "firefox"
    : /Chrome\//.test(navigator.userAgent)
      ? "chromium"
      : "webkit";
