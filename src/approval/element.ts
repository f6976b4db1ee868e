/** The element `<vak-approval>`: its queue of requests, when its buttons count, and how it answers. */
import type { ApprovalAnswer, ApprovalRequest, OnApproval } from "../broker/people.ts";
import { VakError } from "../errors.ts";
import { css } from "./style.ts";
import { makeView, show, type View } from "./view.ts";

/**
 * ms of quiet before a button counts: nobody reads faster. Each key and each press starts the time again, so that
 * someone who was typing, or was about to press what was there before, allows nothing.
 */
const QUIET_MS = 700;
/** Requests that can wait; any more are denied. */
const MAX_WAITING = 64;
/** Denials in a row after which the person can deny the rest of that run at once. */
const DENIALS = 2;
/** Runs that were denied at once: as many are remembered. */
const MAX_MUTED = 1000;
/** Seconds before a request expires at which that is announced. */
const SOON = [30, 10];

interface Waiting {
  readonly request: ApprovalRequest;
  resolve(answer: ApprovalAnswer): void;
  reject(error: unknown): void;
}

// Without a DOM, as on a server, the class can be imported but not constructed.
const Base: typeof HTMLElement = globalThis.HTMLElement ?? (class {} as unknown as typeof HTMLElement);

/**
 * `<vak-approval>` asks the person at the page: it shows who wants to use which tool with what input, and why the
 * person is asked, and returns the answer to the kernel. It shows one request at a time, in the order of their arrival.
 *
 * What a guest wrote is shown as text, never as markup, and its length is bounded. Characters that are invisible, that
 * change the direction of text or that pass for other letters are shown by their codes. No button counts before 700 ms
 * of quiet. Escape denies. Importing `vak/approval` defines the element.
 *
 * @example
 * import "vak/approval";
 * const element = document.createElement("vak-approval");
 * document.body.append(element);
 * const kernel = await createKernel({ policy, tools, onApproval: element.ask });
 */
export class VakApproval extends Base {
  /**
   * For `createKernel`, as `onApproval`; bound to this element.
   *
   * @throws VakError `unsupported` when nobody can be asked: the element is not on the page or cannot be seen, or 64
   *   requests are waiting. The kernel then denies the call, as `approval-unavailable`
   */
  readonly ask: OnApproval = (request, { signal }) => this.#add(request, signal);

  readonly #view: View;
  readonly #queue: Waiting[] = [];
  /** Runs about which the person does not want to be asked again. */
  readonly #muted = new Set<string>();
  #denied = { run: "", times: 0 };
  /** Whether buttons count, and the timer after which they do. */
  #armed = false;
  #arming: ReturnType<typeof setTimeout> | undefined;
  /** A key or a pointer went down while no button counted: the click that it leads to does not count either. */
  #stale = false;
  #refreshing: ReturnType<typeof setTimeout> | undefined;
  #ticking: ReturnType<typeof setInterval> | undefined;
  /** Seconds that the request on show had left at the last tick. */
  #left = Number.POSITIVE_INFINITY;
  /** Someone who comes back to the page was doing something else. */
  readonly #onReturn = (): void => {
    if (this.#queue.length > 0) this.#hush();
  };

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    this.#view = makeView();
    const { dialog, ended, deny, denyAll, run, once } = this.#view;
    root.append(dialog, ended);
    dialog.addEventListener("keydown", (event) => this.#onKey(event), true);
    dialog.addEventListener("pointerdown", () => this.#onPress(), true);
    for (const type of ["keyup", "pointerup"] as const) {
      dialog.addEventListener(type, () => this.#onRelease(), true);
    }
    // From a gesture or a system button. The browser may still close the dialog: then `close` answers.
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.#answer(false);
    });
    dialog.addEventListener("close", () => {
      if (this.#queue.length > 0 && !dialog.open) this.#answer(false);
    });
    const on = (button: HTMLButtonElement, act: () => void) =>
      button.addEventListener("click", () => {
        if (this.#armed && !this.#stale) act();
      });
    on(deny, () => this.#answer(false));
    on(denyAll, () => this.#mute());
    on(run, () => this.#answer(true, "run"));
    on(once, () => this.#answer(true, "call"));
  }

  /** Who answers, as the log will name them: 1 to 128 printable characters. The attribute `by`. */
  get by(): string {
    return this.getAttribute("by") || "the person at the page";
  }

  set by(name: string) {
    this.setAttribute("by", name);
  }

  /** How many requests have no answer yet. While there are any, one is on show. */
  get waiting(): number {
    return this.#queue.length;
  }

  connectedCallback(): void {
    document.addEventListener("visibilitychange", this.#onReturn);
    addEventListener("focus", this.#onReturn);
  }

  /** Nobody can be asked any longer. */
  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.#onReturn);
    removeEventListener("focus", this.#onReturn);
    for (const { reject } of this.#queue.splice(0)) reject(unseen());
    this.#next();
  }

  async #add(request: ApprovalRequest, signal: AbortSignal): Promise<ApprovalAnswer> {
    signal.throwIfAborted();
    if (this.#muted.has(request.run)) return { approve: false, by: this.by };
    if (!this.isConnected) throw unseen();
    if (this.#queue.length >= MAX_WAITING)
      throw new VakError("unsupported", `${MAX_WAITING} requests are waiting already.`);
    const { promise, resolve, reject } = Promise.withResolvers<ApprovalAnswer>();
    const waiting = { request, resolve, reject };
    const onAbort = () => this.#withdraw(waiting, signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#queue.push(waiting);
    if (this.#queue.length === 1) this.#next();
    else this.#count();
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  /** Nobody is waiting for the answer any longer. */
  #withdraw(waiting: Waiting, reason: unknown): void {
    const at = this.#queue.indexOf(waiting);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    waiting.reject(reason);
    if (at === 0) this.#next("The request has ended: no answer is needed.");
    else this.#count();
  }

  #answer(approve: boolean, scope: "call" | "run" = "call"): void {
    const waiting = this.#queue.shift();
    if (!waiting) return;
    const { run } = waiting.request;
    this.#denied = { run, times: approve ? 0 : run === this.#denied.run ? this.#denied.times + 1 : 1 };
    waiting.resolve(approve ? { approve, by: this.by, for: scope } : { approve, by: this.by });
    this.#next();
  }

  /** Denies what this run is asking now and asks later. */
  #mute(): void {
    const run = this.#queue[0]?.request.run;
    if (run === undefined) return;
    this.#muted.add(run);
    if (this.#muted.size > MAX_MUTED) this.#muted.delete(this.#muted.values().next().value!);
    const rest = this.#queue.splice(0).filter((waiting) => {
      if (waiting.request.run !== run) return true;
      waiting.resolve({ approve: false, by: this.by });
      return false;
    });
    this.#queue.push(...rest);
    this.#next();
  }

  /** Shows the first request that waits, or closes. @param ended what became of the one before, for screen readers */
  #next(ended = ""): void {
    const { dialog, title, said, denyAll } = this.#view;
    const [first] = this.#queue;
    clearInterval(this.#ticking);
    if (!first) {
      clearTimeout(this.#arming);
      dialog.close(); // the focus goes back to where it was
      this.#view.ended.textContent = ended;
      return;
    }
    const { request } = first;
    show(this.#view, request);
    denyAll.hidden = request.run !== this.#denied.run || this.#denied.times < DENIALS;
    this.#count();
    try {
      if (!dialog.open) dialog.showModal();
      if (!dialog.checkVisibility()) throw unseen();
    } catch (error) {
      for (const { reject } of this.#queue.splice(0)) reject(error);
      return this.#next();
    }
    this.#hush();
    // Not on a button: whoever goes on typing presses nothing.
    title.focus();
    said.textContent = ended;
    this.#view.ended.textContent = "";
    this.#left = Number.POSITIVE_INFINITY;
    this.#tick();
    this.#ticking = setInterval(() => this.#tick(), 1000);
  }

  #count(): void {
    const more = this.#queue.length - 1;
    this.#view.waiting.textContent = more > 0 ? `${more} more ${more === 1 ? "waits" : "wait"}` : "";
  }

  #tick(): void {
    const { expires, said } = this.#view;
    const [first] = this.#queue;
    if (!first) return;
    const left = Math.max(0, Math.ceil((first.request.expires - Date.now()) / 1000));
    const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    expires.textContent = left > 0 ? `Expires in ${clock}` : "Expired";
    expires.classList.toggle("soon", left <= Math.max(...SOON));
    if (SOON.some((soon) => left <= soon && soon < this.#left) && left > 0) {
      said.textContent = `The request expires in ${left} seconds.`;
    }
    this.#left = left;
  }

  /** Makes no button count until it has been quiet for a while. */
  #hush(): void {
    this.#arm(false);
    clearTimeout(this.#arming);
    this.#arming = setTimeout(() => {
      if (document.visibilityState === "visible") this.#arm(true);
    }, QUIET_MS);
  }

  #arm(armed: boolean): void {
    this.#armed = armed;
    for (const button of this.#view.buttons) button.ariaDisabled = String(!armed);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat) this.#answer(false);
      return;
    }
    clearTimeout(this.#refreshing);
    const presses = event.key === "Enter" || event.key === " ";
    this.#stale = !this.#armed || (event.repeat && presses);
    if (!this.#armed) this.#hush();
    if (this.#stale && presses) event.preventDefault();
  }

  #onPress(): void {
    clearTimeout(this.#refreshing);
    this.#stale = !this.#armed;
    if (!this.#armed) this.#hush();
  }

  /** A press is over after the click that its release causes, unless another press has begun by then. */
  #onRelease(): void {
    clearTimeout(this.#refreshing);
    this.#refreshing = setTimeout(() => {
      this.#stale = false;
    });
  }
}

const unseen = (): VakError =>
  new VakError(
    "unsupported",
    "Nobody can be asked: <vak-approval> is not on the page or cannot be seen. Put it where it can be.",
  );
