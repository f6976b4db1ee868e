/** What a person sees of a request, built from elements and text nodes, never from markup. */
import type { ApprovalRequest } from "../broker/people.ts";
import { type Piece, piecesOf } from "./text.ts";

/** UTF-16 units of a value that are shown at first; each "Show more" multiplies them, up to a maximum. */
const VALUE = 2000;
const MORE = 8;
const MOST_VALUE = VALUE * MORE * MORE;
/** UTF-16 units of names, and of descriptions and annotations. */
const NAME = 100;
const TEXT = 1000;
/** Fields of an input, and policies, to show at most. */
const FIELDS = 40;
const POLICIES = 8;
/** Labels: an agent cannot have more. */
const LABELS = 64;

export type View = ReturnType<typeof makeView>;

/** The dialog, empty, and the live region that speaks after it has closed. */
export function makeView() {
  const title = el("h2");
  title.id = "title";
  title.tabIndex = -1;
  const what = el("p", "what");
  what.id = "what";
  const waiting = el("span");
  const expires = el("span", "expires");
  expires.setAttribute("role", "timer");
  const hints = el("ul", "hints");
  const input = el("dl", "input");
  const why = el("ul", "why");
  why.id = "why";
  const who = el("dl", "who");
  const body = el("div", "body", what, hints, el("h3", "", "With"), input, el("h3", "", "Why you are asked"), why);
  body.append(el("h3", "", "Who asks"), who);
  // Lets the keyboard scroll it.
  body.tabIndex = 0;
  body.setAttribute("role", "group");
  body.setAttribute("aria-label", "The request");
  const odd = el("p", "notice", "Marked characters cannot be seen, or pass for others.");
  const cut = el("p", "notice", "Not all of the input is shown.");
  const deny = button("deny", "Deny");
  const denyAll = button("deny-all", "Deny all of this run");
  const run = button("run", "Allow for this run");
  run.title = "This call, and later ones of this run with exactly the same input";
  const once = button("once", "Allow once");
  // `said` is inside the dialog: while a modal dialog is open, screen readers ignore what is outside it.
  const said = live();
  const ended = live();
  const footer = el("footer", "", odd, cut, el("div", "buttons", deny, denyAll, run, once));
  const header = el("header", "", el("div", "above", el("span", "", "Approval needed"), waiting, expires), title);
  const dialog = el("dialog", "", header, body, footer, said);
  dialog.setAttribute("role", "alertdialog");
  dialog.setAttribute("aria-labelledby", "title");
  dialog.setAttribute("aria-describedby", "what why");
  dialog.lang = "en";
  const buttons = [deny, denyAll, run, once];
  return {
    ...{ dialog, title, what, waiting, expires, hints, input, why, who, body, odd, cut, said, ended },
    ...{ buttons, deny, denyAll, run, once },
  };
}

/** Shows a request in place of the one before. */
export function show(view: View, request: ApprovalRequest): void {
  const { agent, tool, run, call, callDigest } = request;
  const title = tool.title ?? tool.annotations?.title;
  view.title.replaceChildren("Let ", line(agent.name), " use ", line(title ?? tool.name), "?");
  view.what.replaceChildren(paragraph(tool.description));
  const read = request.labels
    .slice(0, LABELS)
    .map((label) => el("li", "grave", "Has read data labelled ", line(label)));
  view.hints.replaceChildren(...hintsOf(tool.annotations), ...read);
  view.why.replaceChildren(...reasonsOf(request));
  const facts: [string, string][] = [
    ["Agent", agent.name],
    ["Tool", tool.name],
    ["Program", agent.program],
    ["Run", `${run}, call ${call}`],
    ["Call", callDigest],
  ];
  view.who.replaceChildren(...facts.flatMap(([name, value]) => [el("dt", "", name), el("dd", "", line(value))]));
  showInput(view, request.input);
  view.odd.hidden = view.body.querySelector(".odd") === null && view.title.querySelector(".odd") === null;
  view.body.scrollTop = 0;
}

function hintsOf({ destructiveHint, openWorldHint, readOnlyHint }: ApprovalRequest["tool"]["annotations"] = {}) {
  return [
    ...(destructiveHint === true ? [el("li", "grave", "May delete or overwrite")] : []),
    ...(openWorldHint === true ? [el("li", "", "Reaches outside")] : []),
    ...(readOnlyHint === true ? [el("li", "", "Says that it only reads")] : []),
  ];
}

/** Each policy with its annotations, the reason first. */
function reasonsOf({ policies, annotations }: ApprovalRequest): Node[] {
  const shown = policies.slice(0, POLICIES).map((id) => {
    const said = Object.hasOwn(annotations, id) ? annotations[id]! : {};
    const { reason, advice, ...others } = said;
    const more = [
      ...(advice === undefined ? [] : [["Advice to the program", advice] as const]),
      ...Object.entries(others),
    ];
    return el(
      "li",
      "",
      ...(reason === undefined ? [] : [paragraph(reason)]),
      el("small", "", "Policy ", el("code", "", line(id))),
      ...more.map(([name, text]) => el("small", "", line(name), ": ", paragraph(text))),
    );
  });
  const rest = policies.length - shown.length;
  return rest > 0 ? [...shown, el("li", "", `And ${rest} more policies`)] : shown;
}

function showInput(view: View, value: unknown): void {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  const fields = isRecord ? Object.entries(value) : [["input", value] as const];
  const shown = fields.slice(0, FIELDS);
  const rows = shown.flatMap(([name, part]) => [
    el("dt", "", line(name)),
    el("dd", "", ...shownValue(view, part, VALUE)),
  ]);
  if (fields.length > shown.length) {
    const rest = `${(fields.length - shown.length).toLocaleString("en")} more fields, not shown`;
    rows.push(el("dd", "none", el("span", "cut", rest)));
  }
  if (rows.length === 0) rows.push(el("dd", "none", "No input"));
  view.input.replaceChildren(...rows);
  noticeCuts(view);
}

function noticeCuts({ input, cut }: View): void {
  cut.hidden = input.querySelector(".cut") === null;
}

/** A value in full, or its beginning and end with a button for more. */
function shownValue(view: View, value: unknown, limit: number): Node[] {
  const isText = typeof value === "string";
  const text = isText ? value : (JSON.stringify(value, null, 2) ?? "");
  const pieces = piecesOf(text, limit);
  const quote = isText ? [el("span", "quote", '"')] : [];
  const shown = el("bdi", "value", ...quote, ...nodesOf(pieces, isText), ...quote.map((node) => node.cloneNode(true)));
  if (text.length <= limit || limit === MOST_VALUE) return [shown];
  const more = button("more", "Show more");
  more.addEventListener("click", () => {
    const held = more.parentElement!;
    held.replaceChildren(...shownValue(view, value, limit * MORE));
    held.querySelector<HTMLElement>(".more")?.focus();
    if (!held.querySelector(".more")) view.body.focus();
    noticeCuts(view);
    view.odd.hidden &&= view.body.querySelector(".odd") === null;
  });
  return [shown, more];
}

/** A description or an annotation, as one paragraph. */
const paragraph = (text: string): HTMLElement => line(text.slice(0, 4 * TEXT).replace(/\s+/g, " "), TEXT);

/** Text on one line: a newline in it is shown by its code. */
function line(text: string, limit = NAME): HTMLElement {
  const pieces = piecesOf(text, limit).map(
    (piece): Piece => (piece.kind === "newline" ? { kind: "hidden", code: "U+000A", times: 1 } : piece),
  );
  return el("bdi", "", ...nodesOf(pieces, true));
}

/** @param marked whether newlines are marked: those in a stranger's text are, those of our own JSON layout are not */
function nodesOf(pieces: readonly Piece[], marked: boolean): (Node | string)[] {
  return pieces.flatMap((piece) =>
    piece.kind === "newline" && marked ? [el("span", "newline", "↵"), "\n"] : nodeOf(piece),
  );
}

function nodeOf(piece: Piece): Node | string {
  switch (piece.kind) {
    case "text":
      return piece.text;
    case "newline":
      return "\n";
    case "hidden":
      return el("span", "odd", piece.times > 1 ? `${piece.code} ×${piece.times}` : piece.code);
    case "lookalike":
      return el("span", "odd", `${piece.text} ${piece.code}`);
    case "cut":
      return el("span", "cut", `${piece.length.toLocaleString("en")} characters are not shown here`);
  }
}

function live(): HTMLElement {
  const element = el("div", "unseen");
  element.setAttribute("role", "status");
  return element;
}

function button(className: string, text: string): HTMLButtonElement {
  const element = el("button", className, text);
  element.type = "button";
  return element;
}

function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}
