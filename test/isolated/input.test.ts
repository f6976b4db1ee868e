/** What the kernel refuses of its callers, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/input.test.ts";
