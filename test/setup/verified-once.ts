/** Ed25519 for tests that change logs in thousands of ways: each different signature, text and key is verified once. */

/**
 * Most of the changed logs have the same checkpoint, and to verify its signature takes longer than all the rest.
 *
 * @param noble the real `@noble/ed25519`, which verifies
 * @example vi.mock("@noble/ed25519", async (original) => verifiedOnce(await original()));
 */
export function verifiedOnce(noble: typeof import("@noble/ed25519")): typeof import("@noble/ed25519") {
  const known = new Map<string, Promise<boolean>>();
  const verifyAsync: typeof noble.verifyAsync = (...args) => {
    // Bytes in a list, so that no text has their key.
    const spell = (arg: unknown) => (arg instanceof Uint8Array ? [Buffer.from(arg).toString("hex")] : arg);
    const key = JSON.stringify(args.map(spell));
    const verified = known.get(key) ?? noble.verifyAsync(...args);
    known.set(key, verified);
    return verified;
  };
  return { ...noble, verifyAsync };
}
