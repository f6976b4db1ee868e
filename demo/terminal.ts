/** The terminal: what the program writes, as plain text, as fast as it writes it. */

/** Characters that stay on the screen; older ones are removed. */
const MAX_CHARACTERS = 120_000;

type Kind = "out" | "err" | "note";

export class Terminal {
  readonly #screen: HTMLElement;
  readonly #text: HTMLElement;
  #waiting: { kind: Kind; text: string }[] = [];
  #frame = 0;
  #characters = 0;

  /** @param screen scrolls; it holds one `<pre>` */
  constructor(screen: HTMLElement) {
    this.#screen = screen;
    this.#text = screen.querySelector("pre")!;
    screen.tabIndex = 0; // so that it can be scrolled with keys
  }

  clear(): void {
    this.#waiting = [];
    this.#characters = 0;
    this.#text.replaceChildren();
  }

  write(kind: Kind, text: string): void {
    if (text === "") return;
    const last = this.#waiting.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.#waiting.push({ kind, text });
    // One write per frame, whatever the program does. A hidden tab has no frames, but it has timers.
    this.#frame ||= document.hidden
      ? window.setTimeout(() => this.#draw(), 100)
      : requestAnimationFrame(() => this.#draw());
  }

  /** Writes a line that comes from the playground, not from the program. */
  note(text: string): void {
    this.#draw();
    const ended = this.#characters === 0 || this.#text.textContent.endsWith("\n");
    this.write("note", `${ended ? "" : "\n"}${text}\n`);
  }

  /** Writes what the stream delivers until it ends. */
  async pipe(kind: Kind, stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    const decoder = new TextDecoder();
    const reader = stream.getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      this.write(kind, decoder.decode(chunk.value, { stream: true }));
    }
    this.write(kind, decoder.decode());
  }

  #draw(): void {
    this.#frame = 0;
    const screen = this.#screen;
    const following = screen.scrollHeight - screen.scrollTop - screen.clientHeight < 40;
    for (const { kind, text } of this.#waiting.splice(0)) {
      const span = document.createElement("span");
      span.className = kind;
      span.textContent = text;
      this.#characters += text.length;
      this.#text.append(span);
    }
    this.#trim();
    if (following) screen.scrollTop = screen.scrollHeight;
  }

  /** Removes the oldest lines. */
  #trim(): void {
    for (let first = this.#text.firstChild; first && this.#characters > MAX_CHARACTERS; first = this.#text.firstChild) {
      const text = first.textContent ?? "";
      const surplus = this.#characters - MAX_CHARACTERS;
      const line = text.length > surplus ? text.indexOf("\n", surplus) : -1;
      const gone = line < 0 ? text.length : line + 1;
      if (gone === text.length) first.remove();
      else first.textContent = text.slice(gone);
      this.#characters -= gone;
    }
  }
}
