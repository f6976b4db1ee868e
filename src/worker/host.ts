import { type Endpoint, type Remote, releaseProxy, wrap } from "comlink";
import { VakError } from "../errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits.ts";
import { MESSAGES_AT_ONCE, MESSAGES_PER_SECOND } from "../protocol/bounds.ts";
import type { KernelMessage, SandboxApi, WaitMode, WorkerMessage } from "../protocol/messages.ts";
import { parseReply, parseWorkerMessage } from "../protocol/parse.ts";
import { type Room, rooms } from "./capacity.ts";
import type { Line } from "./frame.ts";

/**
 * How an agent's worker is set apart from the page: `"opaque"`, a `data:` worker, whose origin is its own; `"frame"`, such a
 * worker in a sandboxed iframe, whose Content Security Policy allows no network at all; or `"page"`, a worker of the page's
 * own origin, for pages whose policy allows nothing else.
 */
export type Isolation = "opaque" | "frame" | "page";

/** How guests can wait for an answer on this page; null where they cannot. */
export function pageWaitMode(): WaitMode | null {
  if ("Suspending" in WebAssembly) return "jspi";
  return globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function" ? "atomics" : null;
}

/** Where a worker runs. */
export interface Place {
  isolation: Isolation;
  /** Where `vak/worker` is served from. Only with isolation `"page"`. */
  workerUrl?: string | URL | undefined;
}

/** Whom a worker works for. */
export interface Client {
  limits: Limits;
  /** What the worker posts, parsed. Must not throw. */
  onMessage(message: WorkerMessage): void;
  /** The worker is gone, and not because `end` was called. Called once at most. */
  onLost(why: string): void;
}

/**
 * What a worker is given to say hello, and to answer a call, ms. A run is bounded by its deadline instead, and a call
 * made meanwhile may have to wait for the run's end.
 */
const TIMEOUT = 20_000;

/**
 * Calls after so many ms, and not before everything is heard that was said by then: on a page that was busy or frozen
 * meanwhile, messages wait in line with the timer.
 *
 * @returns what cancels it
 */
export function whenOverdue(ms: number, call: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(call, TURN);
  }, ms);
  return () => clearTimeout(timer);
}

/** ms in which a page that is free hears what was said to it. */
const TURN = 100;

/** The worker ended before it answered. */
export class WorkerLost extends Error {}

/**
 * One worker, and the gate in front of it. Everything the worker posts is parsed here; what is not of the protocol, or
 * too much of it, ends the worker. Once the gate is closed nothing passes it, whatever the worker still does.
 */
export class Host {
  /** Where its programs need room. */
  readonly room: Room;
  private readonly line: Line;
  private readonly remote: Remote<SandboxApi>;
  private readonly replies = new Set<(event: MessageEvent) => void>();
  private readonly pending = new Set<(lost: WorkerLost) => void>();
  private readonly hello = Promise.withResolvers<void>();
  /** Settles when the worker has said hello. Calls made before then wait in its queue. */
  readonly ready: Promise<void>;
  private client: Client | undefined;
  private closed: string | undefined;
  /** Messages that the worker may still post, as of a time; see {@link MESSAGES_AT_ONCE}. */
  private allowance = MESSAGES_AT_ONCE;
  private counted = performance.now();

  private constructor(line: Line, room: Room, advice: string) {
    this.line = line;
    this.room = room;
    const endpoint: Endpoint = {
      postMessage: (message, transfer) => {
        if (this.closed === undefined) line.post(message, transfer ?? []);
      },
      addEventListener: (_type, listener) => this.replies.add(listener as (event: MessageEvent) => void),
      removeEventListener: (_type, listener) => this.replies.delete(listener as (event: MessageEvent) => void),
    };
    this.remote = wrap<SandboxApi>(endpoint);
    const cancel = whenOverdue(TIMEOUT, () => this.lose(`the worker said nothing for ${TIMEOUT} ms`));
    this.ready = this.hello.promise.finally(cancel).catch((cause) => {
      throw notStarted(cause, advice);
    });
    // Whoever makes an agent comes to wait for it, but may have other things to wait for first.
    this.ready.catch(() => {});
    line.listen(
      (data) => this.receive(data),
      (why) => this.lose(why),
    );
  }

  /**
   * Makes a worker that works for nobody yet, and does not wait for it.
   *
   * @throws VakError `unsupported` when the browser will not start the worker; so may {@link ready}
   */
  static async start(place: Place): Promise<Host> {
    const location = await workerLocation(place).catch((cause) => {
      throw new VakError("unsupported", `The worker's script did not load: ${(cause as Error).message}.`, { cause });
    });
    const started = await turnToStart();
    try {
      // A refusal by the page's policy is an error event in Chromium and Firefox, and thrown in WebKit.
      const host = new Host(
        await openLine(place, location.url),
        place.isolation === "frame" ? rooms.frame : rooms.page,
        location.advice,
      );
      host.ready.then(location.revoke, location.revoke);
      host.ready.then(started, started);
      return host;
    } catch (cause) {
      location.revoke();
      started();
      throw notStarted(cause, location.advice);
    }
  }

  /** Whether the worker has not ended, as far as is known. */
  get alive(): boolean {
    return this.closed === undefined;
  }

  /** Gives the worker to a client, once and for all: nobody is served by a worker that another has used. */
  serve(client: Client): void {
    this.client = client;
  }

  /**
   * Calls the worker. What comes back is a stranger's word: parse it.
   *
   * @throws WorkerLost when the worker ends first; Error with the worker's message when it refuses
   */
  call<Name extends keyof SandboxApi>(name: Name, ...args: Parameters<SandboxApi[Name]>): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.closed !== undefined) {
      reject(new WorkerLost(this.closed));
      return promise;
    }
    this.pending.add(reject);
    const patience = TIMEOUT + (this.client?.limits.deadlineMs ?? 0);
    const late = () => this.lose(`the worker did not answer for ${patience} ms`);
    const cancel = name === "run" ? undefined : whenOverdue(patience, late);
    const method = this.remote[name] as unknown as (...args: unknown[]) => Promise<unknown>;
    method(...args).then(resolve, reject);
    return promise.finally(() => {
      this.pending.delete(reject);
      cancel?.();
    });
  }

  send(message: KernelMessage): void {
    if (this.closed === undefined) this.line.post(message, []);
  }

  /** Closes the gate, then ends the worker. */
  end(why: string): void {
    if (this.closed !== undefined) return;
    this.closed = why;
    this.hello.reject(new WorkerLost(why));
    this.line.end();
    // Comlink would keep the endpoint, and with it all that there is of the agent, for as long as the page lives.
    this.remote[releaseProxy]();
    this.room.freed();
    for (const reject of this.pending) reject(new WorkerLost(why));
    this.pending.clear();
  }

  /** The worker failed, or did what it must not: it ends here. */
  lose(why: string): void {
    if (this.closed !== undefined) return;
    this.end(why);
    this.client?.onLost(why);
  }

  private receive(data: unknown): void {
    if (this.closed !== undefined) return;
    if (this.floods()) return this.lose("the worker flooded the kernel with messages");
    const reply = parseReply(data);
    if (reply) {
      const wire =
        "error" in reply
          ? { type: "HANDLER", name: "throw", value: { isError: true, value: { message: reply.error } } }
          : { type: "RAW", value: reply.value };
      const event = new MessageEvent("message", { data: { id: reply.id, ...wire } });
      for (const listener of this.replies) listener(event);
      return;
    }
    const message = parseWorkerMessage(data, this.client?.limits ?? DEFAULT_LIMITS);
    if (!message) return this.lose("the worker sent a message that is not of the protocol");
    if (message.vak === "hello") return this.hello.resolve();
    if (!this.client) return this.lose("the worker spoke before it worked for anybody");
    this.client.onMessage(message);
  }

  private floods(): boolean {
    const now = performance.now();
    const earned = ((now - this.counted) / 1000) * MESSAGES_PER_SECOND;
    this.counted = now;
    this.allowance = Math.min(MESSAGES_AT_ONCE, this.allowance + earned) - 1;
    return this.allowance < 0;
  }
}

/** Workers that start at the same time; the others wait, so that a burst of spawns does not look like workers that hang. */
const STARTS = 16;
let starting = 0;
const waiting: (() => void)[] = [];

/** Waits for a turn, and gives what ends it. */
async function turnToStart(): Promise<() => void> {
  if (starting >= STARTS) await new Promise<void>((resolve) => waiting.push(resolve));
  else starting++;
  return () => {
    const next = waiting.shift();
    if (next) next();
    else starting--;
  };
}

async function openLine({ isolation }: Place, url: string): Promise<Line> {
  if (isolation !== "frame") return workerLine(new Worker(trusted("createScriptURL", url), { name: "vak" }));
  const { openFrame } = await import("./frame.ts");
  return openFrame(url, (html) => trusted("createHTML", html));
}

function workerLine(worker: Worker): Line {
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

const notStarted = (cause: unknown, advice: string): VakError =>
  new VakError("unsupported", `The agent's worker could not be started (${(cause as Error).message}). ${advice}`, {
    cause,
  });

/** The same for every worker, and starting one takes longer the longer it is: only what must be is escaped. */
let dataUrl: string | undefined;

async function workerLocation({ isolation, workerUrl }: Place) {
  if (workerUrl !== undefined) {
    const advice = `The file vak/worker must be at ${workerUrl}, and the page's Content Security Policy, if it has one, must allow`;
    return { url: String(workerUrl), advice: `${advice} it: worker-src 'self'${TRUSTED}.`, revoke: () => {} };
  }
  const { default: workerSource } = await import("virtual:vak-worker");
  const opaque = isolation !== "page";
  const frame = isolation === "frame" ? " and, in script-src, the hash that docs/csp.md has for frames" : "";
  const advice =
    `The page's Content Security Policy, if it has one, must allow it: worker-src ${opaque ? "data:" : "blob:"}` +
    `${frame}${TRUSTED}. Or serve the file vak/worker yourself, and pass isolation: "page" and workerUrl.`;
  if (opaque) {
    dataUrl ??= `data:text/javascript;charset=utf-8,${workerSource.replace(/[%#\s]/g, encodeURIComponent)}`;
    return { url: dataUrl, advice, revoke: () => {} };
  }
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  return { url, advice, revoke: () => URL.revokeObjectURL(url) };
}

const TRUSTED = ", and trusted-types vak where Trusted Types are required";

/** The rules of our policy, and its name for each. */
interface TrustedRules {
  createScriptURL(url: string): string;
  createHTML(html: string): string;
}

/** The Trusted Types policy, where the browser has them; TypeScript does not know them yet. */
let policy: TrustedRules | undefined;

/** Says of text of ours that it may be run, on a page that requires Trusted Types (https://w3c.github.io/trusted-types). */
function trusted(rule: keyof TrustedRules, text: string): string {
  const { trustedTypes } = globalThis as {
    trustedTypes?: { createPolicy(name: string, rules: TrustedRules): TrustedRules };
  };
  try {
    policy ??= trustedTypes?.createPolicy("vak", { createScriptURL: (url) => url, createHTML: (html) => html });
  } catch {
    // The page's policy does not allow the name. It may not require Trusted Types either: the worker's start tells.
  }
  return policy?.[rule](text) ?? text;
}
