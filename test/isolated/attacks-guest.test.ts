import "./without-jspi.ts";
import "../browser/kernel/attacks-guest.test.ts";
