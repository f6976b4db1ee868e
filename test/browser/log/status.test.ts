/** What a log says of itself. */
import { afterEach, describe, expect, test } from "vitest";
import { closeLogs, NOTE, newName, openTracked } from "./fixtures.ts";

afterEach(closeLogs);

describe("a log's status", () => {
  test("says how the log is stored, signed and anchored", async () => {
    const log = await openTracked(newName());
    await log.append(NOTE);
    const before = await log.status();
    expect(before).toMatchObject({
      mode: "writing",
      size: 2,
      signer: "webcrypto",
      extractable: false,
      checkpoint: null,
      anchored: null,
      anchorError: null,
    });
    // WebKitGTK has no StorageManager, so the log cannot say.
    const storage = navigator.storage as StorageManager | undefined;
    expect(before.storage).toBe((await storage?.persisted()) ? "persistent" : "ephemeral");
    const told = (await storage?.estimate())?.quota !== undefined;
    expect(before.availableBytes).toEqual(told ? expect.any(Number) : null);
    expect(before.usedBytes).toEqual(told ? expect.any(Number) : null);
    const checkpoint = await log.checkpoint();
    expect((await log.status()).checkpoint).toEqual(checkpoint);
    await log.close();
    expect((await log.status()).mode).toBe("ended");
  });

  test("shows a checkpoint over new entries after checkpointMs, unasked", async () => {
    const log = await openTracked(newName(), { checkpointMs: 30 });
    await log.append(NOTE);
    await expect.poll(async () => (await log.status()).checkpoint?.size).toBe(2);
    await Promise.all([log.append(NOTE), log.append(NOTE)]);
    await expect.poll(async () => (await log.status()).checkpoint?.size).toBe(4);
  });
});
