/** Time limits of what the browser or the page is asked for. */

/**
 * What `work` gives, unless it takes longer than `ms`: then it rejects with what `late` makes. The work itself goes on,
 * and what becomes of it then is ignored.
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
