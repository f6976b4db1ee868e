/** An output stream of a run: bytes on their way to the page, counted and hashed. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { StreamDigest } from "../protocol/trace.ts";

export class OutputStream {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #hash = sha256.create();
  #bytes = 0;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor() {
    // What nobody reads is kept; the limit outputBytes bounds it.
    this.readable = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#controller = undefined;
      },
    });
  }

  push(bytes: Uint8Array<ArrayBuffer>): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.byteLength;
    this.#controller?.enqueue(bytes);
  }

  /** The length and digest of everything that went through it. Call it once, when nothing more will. */
  digest(): StreamDigest {
    return { bytes: this.#bytes, digest: bytesToHex(this.#hash.digest()) };
  }

  end(): void {
    this.#controller?.close();
  }
}
