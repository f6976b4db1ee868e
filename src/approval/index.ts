/** The entry point `vak/approval`: defines the element `<vak-approval>` and exports its class. */
import { VakApproval } from "./element.ts";

export { VakApproval };

declare global {
  interface HTMLElementTagNameMap {
    "vak-approval": VakApproval;
  }
}

// Without a document, as on a server that renders pages, there is nothing to define.
if (typeof customElements !== "undefined" && !customElements.get("vak-approval")) {
  customElements.define("vak-approval", VakApproval);
}
