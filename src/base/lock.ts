/** A Web Lock that is held as long as its holder lives: the browser gives it to the next when a tab dies. */

export interface Lock {
  /** Gives the lock back; resolves once another can have it. */
  release(): Promise<void>;
  /** Called when someone else took it by force. */
  onStolen: () => void;
}

/**
 * Takes the lock of that name.
 *
 * @param wait until it is free, or the signal aborts; otherwise there is none at once where it is not
 * @throws the signal's reason, or what the browser says
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
