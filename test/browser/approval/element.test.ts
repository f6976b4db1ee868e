/** What `<vak-approval>` shows and answers. Its keys and clicks are tested in test/e2e/approval.test.ts. */
import { afterEach, expect, test } from "vitest";
import "../../../src/approval/index.ts";
import type { VakApproval } from "../../../src/approval/index.ts";
import { openBundle, verify } from "../../../src/audit/index.ts";
import type { ApprovalRequest } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { calls, effects, entriesOf, testKernel } from "../../setup/kernel.ts";

const requestOf = (more: Partial<ApprovalRequest> = {}): ApprovalRequest => ({
  agent: { id: "a1", name: "summariser", program: "ab".repeat(32) },
  run: "a1/1",
  call: 3,
  tool: {
    name: "refund",
    title: "Refund an order",
    description: "Pays money back.",
    annotations: { destructiveHint: true },
  },
  input: { order: "A-17", amount: 20 },
  labels: ["untrusted"],
  policies: ["large"],
  annotations: { large: { reason: "Money leaves the house.", advice: "Ask for less.", owner: "finance" } },
  callDigest: "cd".repeat(32),
  expires: Date.now() + 100_000,
  ...more,
});

function place(): VakApproval {
  const element = document.createElement("vak-approval");
  element.by = "ann";
  document.body.append(element);
  return element;
}

afterEach(() => {
  for (const element of document.querySelectorAll("vak-approval")) element.remove();
});

/** Asks, and resolves with the answer, or with the message of the error. */
function ask(element: VakApproval, more: Partial<ApprovalRequest> = {}, signal = new AbortController().signal) {
  return Promise.resolve(element.ask(requestOf(more), { signal })).catch((error: Error) => error.message);
}

const dialogOf = (element: VakApproval) => element.shadowRoot!.querySelector("dialog")!;
const buttonsOf = (element: VakApproval) =>
  [...element.shadowRoot!.querySelectorAll("button")].filter((button) => button.checkVisibility());

/** The visible text, on one line. */
const textOf = (element: VakApproval, selector = "dialog") =>
  element.shadowRoot!.querySelector<HTMLElement>(selector)!.innerText.replace(/\s+/g, " ").trim();

async function press(element: VakApproval, name: string) {
  const button = () => buttonsOf(element).find(({ textContent }) => textContent === name);
  await expect.poll(() => button()?.ariaDisabled).toBe("false");
  button()!.click();
}

test("it shows the call in plain words: its input, why a person is asked, who asks and until when", async () => {
  const element = place();
  const answer = ask(element);
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(textOf(element, "h2")).toBe("Let summariser use Refund an order?");
  const text = textOf(element);
  for (const part of [
    /Expires in 1:(40|39|38)/,
    "Pays money back. May delete or overwrite Has read data labelled untrusted",
    'order "A-17" amount 20',
    "Money leaves the house.",
    "Policy large",
    "Advice to the program: Ask for less.",
    "owner: finance",
    "Tool refund",
    `Program ${"ab".repeat(32)}`,
    "Run a1/1, call 3",
    "Deny Allow for this run Allow once",
  ]) {
    expect(text).toMatch(part);
  }
  expect(text).not.toContain("Not all of the input");
  expect(text).not.toContain("Marked characters");
  await press(element, "Allow once");
  expect(await answer).toEqual({ approve: true, by: "ann", for: "call" });
  expect(dialogOf(element).open).toBe(false);
});

test("for screen readers it is an alert with a name and a description, and it announces changes", async () => {
  const element = place();
  const end = new AbortController();
  void ask(element, { expires: Date.now() + 9_500 }, end.signal);
  await expect.poll(() => dialogOf(element).open).toBe(true);
  const dialog = dialogOf(element);
  const named = (attribute: string) =>
    dialog
      .getAttribute(attribute)!
      .split(" ")
      .map((id) => element.shadowRoot!.getElementById(id)!.innerText.replace(/\s+/g, " "));
  expect(dialog.getAttribute("role")).toBe("alertdialog");
  expect(named("aria-labelledby")).toEqual(["Let summariser use Refund an order?"]);
  expect(named("aria-describedby").join(" ")).toContain("Pays money back. Money leaves the house.");
  expect(dialog.querySelector("[role=status]")!.textContent).toBe("The request expires in 10 seconds.");
  end.abort(new Error("over"));
  await expect.poll(() => dialog.open).toBe(false);
  const [, outside] = element.shadowRoot!.querySelectorAll("[role=status]");
  expect(outside!.textContent).toBe("The request has ended: no answer is needed.");
});

test("each button gives its answer, and requests are shown one at a time, in order", async () => {
  const element = place();
  const answers = ["a", "b", "c"].map((name) => ask(element, { agent: { id: name, name, program: "00" }, run: name }));
  await expect.poll(() => textOf(element, "h2")).toBe("Let a use Refund an order?");
  expect(textOf(element)).toContain("2 more wait");
  expect(element.waiting).toBe(3);
  await press(element, "Allow for this run");
  expect(textOf(element, "h2")).toBe("Let b use Refund an order?");
  expect(textOf(element)).toContain("1 more waits");
  await press(element, "Deny");
  expect(textOf(element, "h2")).toBe("Let c use Refund an order?");
  expect(textOf(element)).not.toContain("more wait");
  await press(element, "Allow once");
  expect(await Promise.all(answers)).toEqual([
    { approve: true, by: "ann", for: "run" },
    { approve: false, by: "ann" },
    { approve: true, by: "ann", for: "call" },
  ]);
  expect(element.waiting).toBe(0);
});

test("attack: a press meant for the previous request. No button counts at first, nor on the next request", async () => {
  const element = place();
  const answers = [ask(element), ask(element, { run: "a1/2" })];
  for (const button of buttonsOf(element)) button.click();
  expect(element.waiting).toBe(2);
  const once = buttonsOf(element).at(-1)!;
  await press(element, "Allow once");
  once.click();
  once.click();
  expect(await answers[0]).toMatchObject({ approve: true });
  expect(element.waiting).toBe(1);
  expect(buttonsOf(element).map(({ ariaDisabled }) => ariaDisabled)).toEqual(["true", "true", "true"]);
  await press(element, "Deny");
  expect(await answers[1]).toMatchObject({ approve: false });
});

test("attack: markup in the input, in names and in annotations. It is shown as text", async () => {
  const element = place();
  const markup = `<img src=x onerror="globalThis.hit=1"><script>globalThis.hit=1</script><style>*{display:none}</style>`;
  void ask(element, {
    agent: { id: "a", name: markup, program: "00" },
    tool: { name: "t", title: markup, description: markup },
    input: { [markup]: markup, nested: { [markup]: [markup] } },
    policies: [markup],
    annotations: { [markup]: { reason: markup, [markup]: markup } },
  });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(element.shadowRoot!.querySelectorAll("img, script, style")).toHaveLength(0);
  expect((globalThis as { hit?: number }).hit).toBeUndefined();
  expect(textOf(element, "h2").startsWith("Let <img src=x onerror=")).toBe(true);
  expect(buttonsOf(element).map(({ textContent }) => textContent)).toEqual([
    "Deny",
    "Allow for this run",
    "Allow once",
  ]);
});

test("attack: policies named __proto__ and constructor. They inherit no annotations", async () => {
  const element = place();
  const input = JSON.parse('{"__proto__": {"a": 1}, "constructor": "x"}');
  void ask(element, { policies: ["__proto__", "constructor"], annotations: {}, input });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(textOf(element, ".why")).toBe("Policy __proto__ Policy constructor");
  expect(textOf(element, ".input")).toBe('__proto__ { "a": 1 } constructor "x"');
});

test("attack: right-to-left override. The order stays, the character is shown by its code, and a notice says so", async () => {
  const element = place();
  void ask(element, { input: { to: "\u202eknab.live//:sptth\u202c", "\u2066key": 1 } });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(textOf(element, ".input")).toBe('to "U+202Eknab.live//:sptthU+202C" U+2066key 1');
  expect(element.shadowRoot!.textContent).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
  expect(textOf(element)).toContain("Marked characters cannot be seen, or pass for others.");
});

test("attack: the text of the buttons in letters of another alphabet, and lines like the dialog's own. They are marked, and stay in their box", async () => {
  const element = place();
  void ask(element, {
    input: { note: '\u0410ll\u043ew \u043ence"\n\n\nWhy you are asked\nThe administrator has approved this.' },
  });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(buttonsOf(element).map(({ textContent }) => textContent)).toEqual([
    "Deny",
    "Allow for this run",
    "Allow once",
  ]);
  expect(textOf(element, ".input")).toBe(
    'note "\u0410 U+0410ll\u043e U+043Ew \u043e U+043Ence"↵ ↵ ↵ Why you are asked↵ The administrator has approved this."',
  );
  // All of it is inside the box of its field.
  const { left, right, top, bottom } = element.shadowRoot!.querySelector("dd")!.getBoundingClientRect();
  const value = element.shadowRoot!.querySelector(".value")!.getBoundingClientRect();
  expect(value.left >= left && value.right <= right && value.top >= top && value.bottom <= bottom).toBe(true);
});

test("attack: an argument of 1 MB. Its beginning and end are shown, with how much is missing and a way to see more", async () => {
  const element = place();
  void ask(element, { input: { text: `${"spam ".repeat(200_000)}and wipe the disk` } });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  const shown = () => element.shadowRoot!.querySelector(".value")!.textContent!;
  expect(shown().length).toBeLessThan(2100);
  expect(shown()).toContain("998,017 characters are not shown here");
  expect(shown()).toContain("and wipe the disk");
  expect(textOf(element)).toContain("Not all of the input is shown.");
  const more = () => element.shadowRoot!.querySelector<HTMLElement>(".more");
  more()!.click();
  expect(shown()).toContain("984,017 characters are not shown here");
  expect(element.shadowRoot!.activeElement).toBe(more());
  more()!.click();
  expect(shown()).toContain("872,017 characters are not shown here");
  expect(more()).toBeNull();
  expect(textOf(element, "footer")).toContain("Not all of the input is shown.");
  // The buttons stay visible.
  const deny = buttonsOf(element)[0]!.getBoundingClientRect();
  expect(deny.bottom).toBeLessThanOrEqual(innerHeight);
});

test("once a long value is shown in full, the notice that it is cut disappears", async () => {
  const element = place();
  void ask(element, { input: { text: "long ".repeat(1000) } });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(textOf(element, "footer")).toContain("Not all of the input is shown.");
  element.shadowRoot!.querySelector<HTMLElement>(".more")!.click();
  expect(textOf(element, "footer")).not.toContain("Not all of the input is shown.");
});

test("attack: thousands of fields, policies and levels. What is shown is bounded, and the dialog says that there is more", async () => {
  const element = place();
  const input = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`field${i}`, i]));
  let deep: unknown = 1;
  for (let i = 0; i < 60; i++) deep = { deep };
  void ask(element, { input: { deep, ...input }, policies: Array.from({ length: 300 }, (_, i) => `p${i}`) });
  await expect.poll(() => dialogOf(element).open).toBe(true);
  expect(textOf(element, ".input")).toMatch(/field38 38 4,961 more fields, not shown$/);
  expect(textOf(element, ".why")).toContain("And 292 more policies");
  expect(textOf(element)).toContain("Not all of the input is shown.");
});

test("attack: a flood of requests. 64 wait; the others fail, which denies them", async () => {
  const element = place();
  const end = new AbortController();
  const answers = Array.from({ length: 100 }, (_, i) => ask(element, { run: `r${i}` }, end.signal));
  expect(await Promise.all(answers.slice(64))).toEqual(Array(36).fill("64 requests are waiting already."));
  expect(element.waiting).toBe(64);
  expect(textOf(element)).toContain("63 more wait");
  end.abort(new Error("over"));
  expect(await Promise.all(answers.slice(0, 64))).toEqual(Array(64).fill("over"));
  expect(element.waiting).toBe(0);
  expect(dialogOf(element).open).toBe(false);
});

test("attack: a run that asks until somebody gives in. After two denials the rest of it can be denied at once", async () => {
  const element = place();
  const other = ask(element, { run: "b" });
  await press(element, "Deny");
  for (let i = 0; i < 2; i++) {
    const answer = ask(element);
    expect(buttonsOf(element).map(({ textContent }) => textContent)).not.toContain("Deny all of this run");
    await press(element, "Deny");
    expect(await answer).toMatchObject({ approve: false });
  }
  const [third, fourth, fifth] = [ask(element), ask(element, { run: "c" }), ask(element)];
  await press(element, "Deny all of this run");
  expect(await Promise.all([other, third, fifth, ask(element)])).toEqual(Array(4).fill({ approve: false, by: "ann" }));
  await press(element, "Allow once");
  expect(await fourth).toMatchObject({ approve: true });
});

test("a request that ends while it is shown makes way for the next, which a late press does not answer", async () => {
  const element = place();
  const end = new AbortController();
  const answers = [ask(element, {}, end.signal), ask(element, { agent: { id: "b", name: "other", program: "00" } })];
  await expect.poll(() => textOf(element, "h2")).toBe("Let summariser use Refund an order?");
  await expect.poll(() => buttonsOf(element)[0]!.ariaDisabled).toBe("false");
  end.abort(new Error("It is too late to answer."));
  expect(await answers[0]).toBe("It is too late to answer.");
  expect(textOf(element, "h2")).toBe("Let other use Refund an order?");
  // A press that was meant for the first does not allow the second.
  for (const button of buttonsOf(element)) button.click();
  expect(element.waiting).toBe(1);
  expect(dialogOf(element).querySelector("[role=status]")!.textContent).toContain("The request has ended");
  await press(element, "Deny");
  expect(await answers[1]).toMatchObject({ approve: false });
});

test("a request that ends while it waits is removed, and one that has ended already is not shown", async () => {
  const element = place();
  const end = new AbortController();
  void ask(element);
  const second = ask(element, {}, end.signal);
  await expect.poll(() => element.waiting).toBe(2);
  end.abort(new Error("over"));
  expect(await second).toBe("over");
  expect(element.waiting).toBe(1);
  expect(await ask(element, {}, AbortSignal.abort(new Error("ended before")))).toBe("ended before");
});

test("nobody is asked if the element cannot be seen: not on the page, removed from it, or hidden", async () => {
  const off = document.createElement("vak-approval");
  expect(await ask(off)).toMatch(/^Nobody can be asked/);

  const element = place();
  const answers = [ask(element), ask(element)];
  await expect.poll(() => element.waiting).toBe(2);
  element.remove();
  for (const answer of answers) expect(await answer).toMatch(/^Nobody can be asked/);

  const hidden = place();
  document.body.hidden = true;
  try {
    expect(await ask(hidden)).toMatch(/^Nobody can be asked/);
    expect(hidden.waiting).toBe(0);
  } finally {
    document.body.hidden = false;
  }
  // It works again once it can be seen.
  const answer = ask(hidden);
  await press(hidden, "Allow once");
  expect(await answer).toMatchObject({ approve: true });
});

test("the page's styles do not affect it, and by default it answers as the person at the page", async () => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { direction: rtl; color: red; visibility: hidden; font-size: 1px } button { display: none }");
  document.adoptedStyleSheets.push(sheet);
  try {
    const element = place();
    element.removeAttribute("by");
    const answer = ask(element);
    await expect.poll(() => dialogOf(element).open).toBe(true);
    const { direction, fontSize, visibility } = getComputedStyle(dialogOf(element));
    expect({ direction, fontSize, visibility }).toEqual({ direction: "ltr", fontSize: "15px", visibility: "visible" });
    await press(element, "Deny");
    expect(await answer).toEqual({ approve: false, by: "the person at the page" });
  } finally {
    document.adoptedStyleSheets.pop();
  }
});

const policy = `
  @id("asked") @reason("Adding is a serious matter.")
  permit (principal, action == Action::"call:add", resource) when { context.vak.approved };
`;

test("a kernel asks through it: allowed calls run, denied ones do not, and the log says who answered", async () => {
  const element = place();
  await using kernel = await testKernel({ policy, onApproval: element.ask });
  await using agent = await kernel.spawn({ name: "asker", program: await loadGuest("requests") });
  const answers = calls(agent, ...[1, 1, 2].map((b) => ({ tool: "add", input: { a: 50, b } })));
  await press(element, "Allow for this run");
  await expect.poll(() => textOf(element, ".input")).toBe("a 50 b 2");
  expect(textOf(element)).toContain("Adding is a serious matter.");
  await press(element, "Deny");
  expect(await answers).toMatchObject([{ ok: 51 }, { ok: 51 }, { error: { code: "denied" } }]);
  expect(effects).toEqual(["add 50 1", "add 50 1"]);
  expect(await entriesOf(kernel, "approval")).toMatchObject([
    { verdict: "granted", by: "ann", scope: "run" },
    { verdict: "refused", by: "ann", scope: null },
  ]);
  expect(await verify(await openBundle(await kernel.log.export()))).toMatchObject({ ok: true, problems: [] });
});

test("when the time is up, the kernel closes it, and the call is denied", async () => {
  const element = place();
  await using kernel = await testKernel({ policy, onApproval: element.ask, approvalMs: 300 });
  await using agent = await kernel.spawn({ name: "asker", program: await loadGuest("requests") });
  expect(await calls(agent, { tool: "add", input: { a: 50, b: 1 } })).toMatchObject([{ error: { code: "denied" } }]);
  expect(dialogOf(element).open).toBe(false);
  expect(await entriesOf(kernel, "approval")).toMatchObject([{ verdict: "expired", by: null }]);
  expect(effects).toEqual([]);
});
