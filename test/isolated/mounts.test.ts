import "./without-jspi.ts";
import "../browser/files/mounts.test.ts";
import "../browser/files/watch.test.ts";
