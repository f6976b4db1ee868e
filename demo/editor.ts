/** The two editors: CodeMirror with the playground's own looks. */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { cedar } from "./cedar.ts";

const colors = HighlightStyle.define([
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword, tags.definitionKeyword], color: "var(--code-word)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--code-name)" },
  { tag: [tags.typeName, tags.className], color: "var(--code-name)" },
  { tag: tags.meta, color: "var(--code-meta)" },
  { tag: tags.inserted, color: "var(--allow)", fontWeight: "700" },
  { tag: tags.deleted, color: "var(--deny)", fontWeight: "700" },
]);

const looks = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "transparent", fontSize: "var(--code-size)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overscrollBehavior: "contain" },
  ".cm-content": { padding: "10px 0 24px", caretColor: "var(--ink)" },
  ".cm-line": { padding: "0 14px 0 6px" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--ink)", borderLeftWidth: "2px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--ink-3)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 6px 0 14px", minWidth: "40px" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent" },
  "&.cm-focused .cm-activeLine, &.cm-focused .cm-activeLineGutter": { backgroundColor: "var(--code-line)" },
  "&.cm-focused .cm-activeLineGutter": { color: "var(--ink)" },
  "& .cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    backgroundColor: "var(--code-selection)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--code-selection)" },
  ".cm-fault": { backgroundColor: "var(--deny-wash) !important", boxShadow: "inset 3px 0 var(--deny)" },
});

/** The line with the fault, from 1; undefined for none. */
const setFault = StateEffect.define<number | undefined>();
const faultLine = Decoration.line({ class: "cm-fault" });
const fault = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (!effect.is(setFault)) continue;
      const { doc } = transaction.state;
      if (effect.value === undefined || effect.value > doc.lines) return Decoration.none;
      return Decoration.set([faultLine.range(doc.line(effect.value).from)]);
    }
    // The fault has been seen once somebody edits.
    return transaction.docChanged ? Decoration.none : marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

export interface Editor {
  text: string;
  /** Marks the line with a fault, or none. */
  markLine(line: number | undefined): void;
  /** Puts the cursor there; both count from 1. */
  goTo(line: number, column: number): void;
}

export interface EditorOptions {
  parent: HTMLElement;
  language: "python" | "cedar";
  label: string;
  text: string;
  onEdit(): void;
}

export function createEditor({ parent, language, label, text, onEdit }: EditorOptions): Editor {
  const extensions: Extension[] = [
    lineNumbers(),
    highlightActiveLineGutter(),
    highlightSpecialChars(),
    history(),
    drawSelection(),
    indentOnInput(),
    indentUnit.of(language === "python" ? "    " : "  "),
    bracketMatching(),
    highlightActiveLine(),
    EditorView.lineWrapping,
    // Tab moves the focus, as everywhere on the page; Ctrl or Cmd with ] and [ indents.
    keymap.of([...defaultKeymap, ...historyKeymap]),
    language === "python" ? python() : cedar(),
    syntaxHighlighting(colors),
    looks,
    fault,
    EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", autocapitalize: "off" }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) onEdit();
    }),
  ];
  const state = (doc: string) => EditorState.create({ doc, extensions });
  parent.replaceChildren(); // removes the plain text shown so far
  const view = new EditorView({ parent, state: state(text) });
  return {
    get text() {
      return view.state.doc.toString();
    },
    set text(doc) {
      view.setState(state(doc));
    },
    markLine: (line) => view.dispatch({ effects: setFault.of(line) }),
    goTo(line, column) {
      const { doc } = view.state;
      const { from, to } = doc.line(Math.min(line, doc.lines));
      view.dispatch({ selection: { anchor: Math.min(from + column - 1, to) }, scrollIntoView: true });
      view.focus();
    },
  };
}
