/** Programs that attack the sandbox, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/kernel/attacks-guest.test.ts";
