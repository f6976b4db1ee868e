/** Time limits for what the browser or the page is asked to do. */

/**
 * The result of `work`; rejects with the error that `late` makes if it takes longer than `ms`. The work itself is not
 * stopped; its result is then ignored.
 */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
