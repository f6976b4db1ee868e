/** A timeout that a busy page does not trigger by itself. */

/** ms in which a page that is not busy handles the messages it has received. */
const TURN = 100;

/**
 * Calls back after this many ms, but only once everything that was posted by then has been handled: on a page that was
 * busy or frozen meanwhile, messages wait in line with the timer. `within` of `base/time.ts` has no such second chance:
 * it bounds work of the page's own, whereas this condemns a worker for its silence.
 *
 * @returns what cancels it
 */
export function whenOverdue(ms: number, call: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(call, TURN);
  }, ms);
  return () => clearTimeout(timer);
}
