/** Traces, their parts and forks, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/replay/parts.test.ts";
import "../browser/replay/trace.test.ts";
import "../browser/replay/fork.test.ts";
