import "./without-jspi.ts";
import "../browser/kernel/job.test.ts";
