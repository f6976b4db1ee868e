/** The page's one dialog: an entry in full, or the result of a verification or a replay. */
import { byId, el } from "./dom.ts";

const sheet = byId<HTMLDialogElement>("sheet");
byId("sheet-close").addEventListener("click", () => sheet.close());
sheet.addEventListener("click", (event) => {
  if (event.target === sheet) sheet.close(); // a click on the backdrop
});

/** Opens the sheet with this content. */
export function openSheet(title: string, ...content: (Node | string)[]): void {
  byId("sheet-title").textContent = title;
  const body = byId("sheet-body");
  body.replaceChildren(...content);
  body.scrollTop = 0;
  if (!sheet.open) sheet.showModal();
}

/** Calls back when the sheet is next closed. */
export function onSheetClosed(callback: () => void): void {
  sheet.addEventListener("close", callback, { once: true });
}

export function closeSheet(): void {
  sheet.close();
}

/** A line of a list of findings: good, bad, or for information. */
export function finding(kind: "good" | "bad" | "info", text: string, detail?: string): HTMLElement {
  return el("li", kind, el("span", "", text), detail !== undefined && el("small", "", detail));
}

/** JSON, indented and coloured. */
export function prettyJson(value: unknown): HTMLElement {
  const pre = el("pre", "json");
  const text = JSON.stringify(value, null, 2);
  let at = 0;
  for (const { 0: token, 1: key, index } of text.matchAll(
    /("(?:[^"\\]|\\.)*")(?=:)|"(?:[^"\\]|\\.)*"|-?\b\d[\d.eE+-]*|\b(?:true|false|null)\b/g,
  )) {
    pre.append(text.slice(at, index), el("span", key ? "key" : token.startsWith('"') ? "string" : "number", token));
    at = index + token.length;
  }
  pre.append(text.slice(at));
  return pre;
}
