/** Workers that an attacker controls, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/attacks-worker.test.ts";
