import "./without-jspi.ts";
import { expect, test } from "vitest";
import { loadGuest } from "../guests/load.ts";
import { testKernel } from "../setup/kernel.ts";

test("where guests cannot be suspended, a frame is refused, and it is said why", async () => {
  await using kernel = await testKernel();
  const spawned = kernel.spawn({ name: "framed", program: await loadGuest("hello"), isolation: "frame" });
  await expect(spawned).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining("frame") });
});
