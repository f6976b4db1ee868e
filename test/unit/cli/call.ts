/** The command `vak` without a process: with one for each case, the tests would wait for Node and Cedar to start. */
import { vi } from "vitest";
import { main } from "../../../src/cli/main.ts";
import type { Ended } from "../../setup/cli.ts";

/** Calls what the process calls, and returns what it would print and end with. */
export async function callVak(...args: string[]): Promise<Ended> {
  const printed = { out: "", err: "" };
  const collect = (stream: "stdout" | "stderr", to: "out" | "err") =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      printed[to] += text;
      return true;
    });
  const spies = [collect("stdout", "out"), collect("stderr", "err")];
  try {
    return { code: await main(args), ...printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
