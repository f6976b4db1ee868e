/** What `support()` reports, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/worker/support.test.ts";
