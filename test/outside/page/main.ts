/** What the tests in test/outside evaluate in a page: the log, nothing of the kernel. */
import { leafHash, openBundle, RightEdge, verify, verifyProof, witness } from "../../../src/audit/index.ts";
import { openLog } from "../../../src/log/log.ts";

const api = { leafHash, openBundle, openLog, RightEdge, verify, verifyProof, witness };

export type Vak = typeof api;

declare global {
  /** Set by the page. */
  var vak: Vak;
}

globalThis.vak = api;
