/** A Web Lock that is held until its holder releases it or its tab dies. */

export interface Lock {
  /** Releases the lock; resolves once somebody else can take it. */
  release(): Promise<void>;
  /** Called when somebody else steals it. */
  onStolen: () => void;
}

/**
 * Takes the lock with that name, if it is free.
 *
 * @param wait if given, waits until it is free or the signal aborts
 * @throws the signal's reason, or the browser's error
 */
export async function takeLock(name: string, wait?: { signal?: AbortSignal | undefined }): Promise<Lock | undefined> {
  const taken = Promise.withResolvers<boolean>();
  const released = Promise.withResolvers<void>();
  const lock: Lock = {
    release: async () => {
      released.resolve();
      await ended;
    },
    onStolen: () => {},
  };
  const options = wait ? { ...(wait.signal && { signal: wait.signal }) } : { ifAvailable: true };
  const ended = navigator.locks
    .request(name, options, (granted) => {
      taken.resolve(granted !== null);
      return granted ? released.promise : undefined;
    })
    .catch((error: unknown) => {
      taken.reject(error);
      lock.onStolen();
    });
  return (await taken.promise) ? lock : undefined;
}
