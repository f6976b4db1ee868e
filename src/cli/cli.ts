#!/usr/bin/env node
/** The `vak` command: runs what its arguments say, and ends with 0, 1 or 2. */
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2));
