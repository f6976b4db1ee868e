/** Retries of WebCrypto's Ed25519: WebKitGTK fails at about one key in a hundred, and at a signature now and then. */

const ATTEMPTS = 5;

/**
 * Retries the work, unless the browser does not support it.
 *
 * @throws what it threw when it was tried for the fifth time
 */
export async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const final = error instanceof DOMException && error.name === "NotSupportedError";
      if (final || attempt === ATTEMPTS) throw error;
    }
  }
}
