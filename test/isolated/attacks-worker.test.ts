import "./without-jspi.ts";
import "../browser/kernel/attacks-worker.test.ts";
