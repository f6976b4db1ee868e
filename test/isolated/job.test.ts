/** Whole jobs, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/job.test.ts";
