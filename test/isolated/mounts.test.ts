/** Mounts and watching, with shared memory in place of JSPI. */
import "./without-jspi.ts";
import "../browser/files/mounts.test.ts";
import "../browser/files/watch.test.ts";
