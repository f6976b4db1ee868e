/** The limits of a run, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/limits.test.ts";
