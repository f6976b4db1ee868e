/** The channel between the page and one worker. */

export interface Channel {
  post(message: unknown, transfer: Transferable[]): void;
  /** Registers who hears what the worker posts, and that it failed. */
  listen(onMessage: (data: unknown) => void, onLost: (why: string) => void): void;
  /** Lets nothing more through, then ends the worker. */
  end(): void;
}

/** To a worker that the page itself started. */
export function workerChannel(worker: Worker): Channel {
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    listen: (onMessage, onLost) => {
      worker.onmessage = ({ data }) => onMessage(data);
      worker.onmessageerror = () => onLost("the worker sent a message that cannot be read");
      worker.onerror = (event) => {
        event.preventDefault();
        onLost(event.message ? `the worker failed: ${event.message}` : "the worker failed");
      };
    },
    end: () => {
      worker.onmessage = worker.onmessageerror = worker.onerror = null;
      worker.terminate();
    },
  };
}
