/** What the kernel accepts and refuses, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/input.test.ts";
