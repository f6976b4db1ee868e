/** True in Node, false in every browser and worker. */
export const inNode = typeof process === "object" && typeof process.versions?.node === "string";

/** What runs this test, for the few tests that one engine cannot pass. */
export const engine: "node" | "chromium" | "firefox" | "webkit" = inNode
  ? "node"
  : /Firefox\//.test(navigator.userAgent)
    ? "firefox"
    : /Chrome\//.test(navigator.userAgent)
      ? "chromium"
      : "webkit";
