/** Failing closed, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/fail-closed.test.ts";
