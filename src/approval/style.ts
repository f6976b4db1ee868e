/** The dialog's style sheet. A script constructs it, so that no Content Security Policy on styles applies to it. */
export const css = `
:host {
  /* Important, because a page's rule for every element would otherwise apply to this one too. */
  all: initial !important;
  color-scheme: inherit !important;
  display: contents !important;
  direction: ltr !important;
}
dialog {
  --surface: var(--vak-approval-surface, light-dark(#ffffff, #171c1a));
  --ink: var(--vak-approval-ink, light-dark(#17201c, #e6ece8));
  --accent: var(--vak-approval-accent, light-dark(#17362d, #f5b82e));
  --accent-ink: var(--vak-approval-accent-ink, light-dark(#ffffff, #2b1d00));
  --quiet: color-mix(in srgb, var(--ink) 76%, var(--surface));
  --line: color-mix(in srgb, var(--ink) 20%, var(--surface));
  --sunk: color-mix(in srgb, var(--ink) 5%, var(--surface));
  --warn: light-dark(#7a4b00, #ffcf6b);
  --warn-wash: color-mix(in srgb, #f5b82e 18%, var(--surface));
  --mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
}
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
h2, h3, p, dl, dd, ul, li { margin: 0; padding: 0; }
ul { list-style: none; }
.unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
dialog {
  font: 15px / 1.5 var(--vak-approval-font, system-ui, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif);
  color: var(--ink);
  background: var(--surface);
  width: min(560px, calc(100vw - 32px));
  max-width: none;
  max-height: min(760px, calc(100dvh - 32px));
  margin: auto;
  padding: 0;
  border: 1px solid var(--line);
  border-radius: 12px;
  box-shadow: 0 24px 80px rgb(0 0 0 / 0.4);
  overflow: hidden;
}
dialog[open] { display: flex; flex-direction: column; }
dialog::backdrop { background: rgb(0 0 0 / 0.5); }
header { padding: 18px 22px 0; }
.above { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 13px; color: var(--quiet); }
.above .expires { margin-left: auto; font-variant-numeric: tabular-nums; }
.expires.soon { color: var(--warn); font-weight: 650; }
h2 { margin-top: 4px; font-size: 21px; line-height: 1.25; font-weight: 700; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2:focus, h2:focus-visible { outline: none; }
.body { flex: 1 1 auto; min-height: 0; overflow: auto; overscroll-behavior: contain; padding: 10px 22px 16px; }
.body:focus-visible { outline: 2px solid var(--accent); outline-offset: -3px; border-radius: 6px; }
.what { overflow-wrap: anywhere; }
.hints { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 8px; }
.hints li { padding: 1px 9px; border-radius: 99px; font-size: 13px; background: var(--sunk); border: 1px solid var(--line); }
.hints .grave { color: var(--warn); background: var(--warn-wash); border-color: transparent; font-weight: 650; }
h3 { margin: 16px 0 6px; font-size: 13px; font-weight: 650; color: var(--quiet); }
.input { display: grid; grid-template-columns: minmax(64px, auto) minmax(0, 1fr); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.input dt, .input dd { padding: 6px 12px; border-top: 1px solid var(--line); }
.input > :is(dt, dd):first-of-type { border-top: 0; }
.input dt { max-width: 190px; font-family: var(--mono); font-size: 13px; line-height: 22px; color: var(--quiet); background: var(--sunk); overflow-wrap: anywhere; }
.input dd { font-family: var(--mono); font-size: 13.5px; line-height: 22px; min-width: 0; overflow: hidden; }
.input .none { grid-column: 1 / -1; font-family: inherit; color: var(--quiet); }
.value { display: block; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
.quote, .newline { color: var(--quiet); user-select: none; }
.odd { padding: 0 3px; border-radius: 3px; font: 600 12px / 1.4 var(--mono); color: var(--warn); background: var(--warn-wash); white-space: nowrap; }
.cut { display: block; margin: 4px 0; padding: 2px 8px; border-radius: 4px; font: 600 13px / 1.5 system-ui, sans-serif; color: var(--warn); background: var(--warn-wash); white-space: normal; }
.more { margin-top: 4px; padding: 2px 8px; border: 1px solid var(--line); border-radius: 6px; background: var(--surface); color: inherit; font: 600 13px / 1.5 system-ui, sans-serif; cursor: pointer; }
.why li { padding: 8px 12px; border-left: 3px solid #f5b82e; background: var(--sunk); border-radius: 0 8px 8px 0; overflow-wrap: anywhere; }
.why li + li { margin-top: 6px; }
.why small { display: block; font-size: 13px; color: var(--quiet); }
code, .who dd { font-family: var(--mono); font-size: 0.92em; overflow-wrap: anywhere; }
.who { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 1px 14px; font-size: 13px; }
.who dt { color: var(--quiet); }
footer { padding: 12px 22px 18px; border-top: 1px solid var(--line); background: var(--surface); }
.notice { margin-bottom: 10px; padding: 6px 12px; border-radius: 8px; font-size: 14px; color: var(--warn); background: var(--warn-wash); }
.buttons { display: flex; flex-wrap: wrap; gap: 8px; }
.buttons button {
  min-height: 42px; padding: 0 16px; border-radius: 8px; border: 1px solid var(--line); background: var(--surface); color: var(--ink);
  font: inherit; font-weight: 650; cursor: pointer; touch-action: manipulation;
}
.buttons button:hover { border-color: var(--quiet); }
.buttons .once { background: var(--accent); border-color: var(--accent); color: var(--accent-ink); }
.buttons .deny { margin-right: auto; }
.buttons button[aria-disabled="true"] { opacity: 0.55; cursor: default; }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 519px) {
  dialog { width: 100vw; max-height: calc(100dvh - 24px); margin: auto 0 0; border-width: 1px 0 0; border-radius: 14px 14px 0 0; }
  header { padding: 16px 16px 0; }
  .body { padding: 8px 16px 14px; }
  footer { padding: 12px 16px 16px; }
  .input { grid-template-columns: minmax(0, 1fr); }
  .input dt { max-width: none; padding-bottom: 2px; }
  .input dd { border-top: 0; padding-top: 4px; }
  .buttons { display: grid; grid-template-columns: 1fr 1.6fr; }
  .buttons button { min-height: 46px; padding: 0 8px; }
  .buttons .once { grid-row: 1; grid-column: 1 / -1; }
  .buttons .deny { margin: 0; }
  .buttons .deny-all { grid-row: 3; grid-column: 1 / -1; }
}
@media (forced-colors: active) {
  .buttons .once { border-width: 2px; }
  .odd, .cut, .notice { border: 1px solid; }
}
`;
