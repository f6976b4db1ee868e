/** What the `vak` command does with its arguments. */
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import { type Command, Misuse, parseArguments, USAGE, VERSION } from "./arguments.ts";
import { plain, plainLines } from "./print.ts";
import { replayLog } from "./replay.ts";
import { verifyLog, verifyReceipt } from "./verify.ts";

/** Does what these arguments say, and prints to the process's streams. Returns the exit code: 0, 1 or 2. */
export async function main(args: string[]): Promise<number> {
  try {
    return (await run(parseArguments(args))) ? 0 : 1;
  } catch (error) {
    const misused = error instanceof Misuse || (error instanceof VakError && error.code === "invalid-argument");
    // The lines of a refused policy are its author's own.
    const spell = error instanceof VakError && error.code === "invalid-policy" ? plainLines : plain;
    process.stderr.write(`vak: ${spell(errorText(error))}\n${misused ? "See `vak --help`.\n" : ""}`);
    return misused ? 2 : 1;
  }
}

/** @returns whether nothing is wrong */
async function run(command: Command): Promise<boolean> {
  switch (command.name) {
    case "help":
      process.stdout.write(USAGE);
      return true;
    case "version":
      process.stdout.write(`${VERSION}\n`);
      return true;
    case "verify":
      return verifyLog(command.args);
    case "verify receipt":
      await verifyReceipt(command.args);
      return true;
    case "replay":
      return replayLog(command.args);
    case "policy test": {
      const { testPolicy } = await import("./policy.ts");
      await testPolicy(command.path);
      return true;
    }
    case "policy replay": {
      const { replayDecisions } = await import("./policy.ts");
      return replayDecisions(command.args);
    }
  }
}
