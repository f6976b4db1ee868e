/** Frames, which need JSPI, are refused without it. */
import "./without-jspi.ts";
import { expect, test } from "vitest";
import { loadGuest } from "../guests/load.ts";
import { testKernel } from "../setup/kernel.ts";

test("without JSPI, isolation frame is refused with a message that says why", async () => {
  await using kernel = await testKernel();
  const spawned = kernel.spawn({ name: "framed", program: await loadGuest("hello"), isolation: "frame" });
  await expect(spawned).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining("frame") });
});
