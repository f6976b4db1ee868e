/** The gate in front of one worker: everything that passes between the page and the worker passes here. */
import { type Endpoint, type Remote, releaseProxy, wrap } from "comlink";
import type { VakError } from "../errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits.ts";
import { MESSAGES_AT_ONCE, MESSAGES_PER_SECOND } from "../protocol/bounds.ts";
import type { KernelMessage, SandboxApi, WorkerMessage } from "../protocol/messages.ts";
import { parseReply, parseWorkerMessage } from "../protocol/parse.ts";
import type { Capacity } from "./capacity.ts";
import type { Channel } from "./channel.ts";

import { whenOverdue } from "./overdue.ts";

/** Whom a worker serves. */
export interface Client {
  limits: Limits;
  /** Hears what the worker posts, parsed. Must not throw. */
  onMessage(message: WorkerMessage): void;
  /** The worker has ended, and not because `end` was called. Called at most once. */
  onLost(why: string): void;
}

/**
 * ms that a worker has to say hello, and to answer a call. A run is bounded by its deadline instead, and a call made
 * during a run may have to wait until it has ended.
 */
const TIMEOUT = 20_000;

/** The worker ended before it answered. */
export class WorkerLost extends Error {}

/** Why a worker is ended whose reply does not parse. */
export const OFF_PROTOCOL = "the worker answered something that the protocol does not allow";

/**
 * Everything the worker posts is parsed here. A message that the protocol does not allow, or too many messages, end the
 * worker. Once the gate is closed nothing passes it, no matter what the worker still does.
 */
export class Host {
  /** How many programs its process can hold. */
  readonly capacity: Capacity;
  readonly #channel: Channel;
  readonly #remote: Remote<SandboxApi>;
  readonly #replies = new Set<(event: MessageEvent) => void>();
  readonly #pending = new Set<(lost: WorkerLost) => void>();
  readonly #hello = Promise.withResolvers<void>();
  /** Settles when the worker has said hello. Calls made earlier wait in its queue. */
  readonly ready: Promise<void>;
  #client: Client | undefined;
  #closed: string | undefined;
  /** Messages that the worker may still post, as of `#counted`; see {@link MESSAGES_AT_ONCE}. */
  #allowance = MESSAGES_AT_ONCE;
  #counted = performance.now();

  /**
   * @internal Made by `startWorker`.
   * @param notStarted turns the reason why the worker never said hello into the error that {@link ready} rejects with
   */
  constructor(channel: Channel, capacity: Capacity, notStarted: (cause: unknown) => VakError) {
    this.#channel = channel;
    this.capacity = capacity;
    const endpoint: Endpoint = {
      postMessage: (message, transfer) => {
        if (this.#closed === undefined) channel.post(message, transfer ?? []);
      },
      addEventListener: (_type, listener) => this.#replies.add(listener as (event: MessageEvent) => void),
      removeEventListener: (_type, listener) => this.#replies.delete(listener as (event: MessageEvent) => void),
    };
    this.#remote = wrap<SandboxApi>(endpoint);
    const cancel = whenOverdue(TIMEOUT, () => this.lose(`the worker did not start within ${TIMEOUT} ms`));
    this.ready = this.#hello.promise.finally(cancel).catch((cause) => {
      throw notStarted(cause);
    });
    // The spawn awaits it, but may await other things first.
    this.ready.catch(() => {});
    channel.listen(
      (data) => this.#receive(data),
      (why) => this.lose(why),
    );
  }

  /** Whether the worker still lives, as far as is known. */
  get alive(): boolean {
    return this.#closed === undefined;
  }

  /** Assigns the worker to a client, once: no client gets a worker that another has used. */
  serve(client: Client): void {
    this.#client = client;
  }

  /**
   * Calls the worker. The answer is untrusted: parse it.
   *
   * @throws WorkerLost when the worker ends first; Error with the worker's message when it refuses
   */
  call<Name extends keyof SandboxApi>(name: Name, ...args: Parameters<SandboxApi[Name]>): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.#closed !== undefined) {
      reject(new WorkerLost(this.#closed));
      return promise;
    }
    this.#pending.add(reject);
    const patience = TIMEOUT + (this.#client?.limits.deadlineMs ?? 0);
    const late = () => this.lose(`the worker did not answer within ${patience} ms`);
    const cancel = name === "run" ? undefined : whenOverdue(patience, late);
    const method = this.#remote[name] as unknown as (...args: unknown[]) => Promise<unknown>;
    method(...args).then(resolve, reject);
    return promise.finally(() => {
      this.#pending.delete(reject);
      cancel?.();
    });
  }

  send(message: KernelMessage): void {
    if (this.#closed === undefined) this.#channel.post(message, []);
  }

  /** Closes the gate, then ends the worker. */
  end(why: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = why;
    this.#hello.reject(new WorkerLost(why));
    this.#channel.end();
    // Comlink would otherwise keep the endpoint, and with it the whole agent, for as long as the page lives.
    this.#remote[releaseProxy]();
    this.capacity.freed();
    for (const reject of this.#pending) reject(new WorkerLost(why));
    this.#pending.clear();
  }

  /** Ends a worker that failed or violated the protocol, and notifies its client. */
  lose(why: string): void {
    if (this.#closed !== undefined) return;
    this.end(why);
    this.#client?.onLost(why);
  }

  #receive(data: unknown): void {
    if (this.#closed !== undefined) return;
    if (this.#floods()) return this.lose("the worker flooded the kernel with messages");
    const reply = parseReply(data);
    if (reply) {
      const wire =
        "error" in reply
          ? { type: "HANDLER", name: "throw", value: { isError: true, value: { message: reply.error } } }
          : { type: "RAW", value: reply.value };
      const event = new MessageEvent("message", { data: { id: reply.id, ...wire } });
      for (const listener of this.#replies) listener(event);
      return;
    }
    const message = parseWorkerMessage(data, this.#client?.limits ?? DEFAULT_LIMITS);
    if (!message) return this.lose("the worker sent a message that the protocol does not allow");
    if (message.vak === "hello") return this.#hello.resolve();
    if (!this.#client) return this.lose("the worker sent a message before it had an agent");
    this.#client.onMessage(message);
  }

  #floods(): boolean {
    const now = performance.now();
    const earned = ((now - this.#counted) / 1000) * MESSAGES_PER_SECOND;
    this.#counted = now;
    this.#allowance = Math.min(MESSAGES_AT_ONCE, this.#allowance + earned) - 1;
    return this.#allowance < 0;
  }
}
