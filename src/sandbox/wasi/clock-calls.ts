/** The system calls of WASI preview 1 that read clocks and wait: `clock_` and `poll_oneoff`. */

import { wasi } from "@bjorn3/browser_wasi_shim";
import { fail } from "../preview1/errno.ts";
import { RIGHT_POLL_FD_READWRITE } from "../preview1/rights.ts";
import { NS_PER_MS } from "./clock.ts";
import type { Context, SystemCalls } from "./context.ts";

/** Bytes of the structures of WASI preview 1. */
const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
/** The most subscriptions that one `poll_oneoff` takes. */
const MAX_SUBSCRIPTIONS = 1024;

export function clockCalls(context: Context): SystemCalls {
  const { memory, table } = context;

  const time = (id: number): bigint => {
    if (id === wasi.CLOCKID_REALTIME) return context.clock!.realtime();
    if (id === wasi.CLOCKID_MONOTONIC) return context.clock!.monotonic();
    if (id === wasi.CLOCKID_PROCESS_CPUTIME_ID || id === wasi.CLOCKID_THREAD_CPUTIME_ID) return context.clock!.cpu();
    fail(wasi.ERRNO_INVAL);
  };

  return {
    clock_res_get: (id: number, ptr: number) => {
      time(id);
      memory.setU64(ptr, context.clock!.resolution);
    },
    clock_time_get: (id: number, _precision: bigint, ptr: number) => memory.setU64(ptr, time(id)),
    poll_oneoff: (subscriptions: number, events: number, count: number, out: number) => {
      if (count === 0 || count >>> 0 > MAX_SUBSCRIPTIONS) fail(wasi.ERRNO_INVAL);
      const view = memory.view(subscriptions, count * SUBSCRIPTION_BYTES);
      memory.bytes(events, count * EVENT_BYTES);
      memory.view(out, 4);
      const ready: { userdata: bigint; type: number; error: number; bytes: bigint }[] = [];
      const clocks: { userdata: bigint; wait: bigint }[] = [];
      for (let at = 0; at < view.byteLength; at += SUBSCRIPTION_BYTES) {
        const userdata = view.getBigUint64(at, true);
        const type = view.getUint8(at + 8);
        if (type === wasi.EVENTTYPE_CLOCK) {
          const now = time(view.getUint32(at + 16, true));
          const timeout = view.getBigUint64(at + 24, true);
          const absolute = (view.getUint16(at + 40, true) & wasi.SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME) !== 0;
          clocks.push({ userdata, wait: absolute ? (timeout > now ? timeout - now : 0n) : timeout });
        } else if (type === wasi.EVENTTYPE_FD_READ || type === wasi.EVENTTYPE_FD_WRITE) {
          // Everything a guest can open is always ready: files, a stdin that is complete, output.
          const found = table.find(view.getUint32(at + 16, true));
          const error = !found ? wasi.ERRNO_BADF : found.base & RIGHT_POLL_FD_READWRITE ? 0 : wasi.ERRNO_NOTCAPABLE;
          const bytes = !error && type === wasi.EVENTTYPE_FD_READ ? found!.file.readable : 0;
          ready.push({ userdata, type, error, bytes: BigInt(bytes) });
        } else {
          fail(wasi.ERRNO_INVAL);
        }
      }
      const report = () => {
        ready.forEach(({ userdata, type, error, bytes }, i) => {
          const event = memory.view(events + i * EVENT_BYTES, EVENT_BYTES);
          event.setBigUint64(0, userdata, true);
          event.setUint16(8, error, true);
          event.setUint32(10, type, true);
          event.setBigUint64(16, bytes, true);
          event.setBigUint64(24, 0n, true);
        });
        memory.setU32(out, ready.length);
      };
      // If anything is ready, only clocks that have already run out matter.
      let wait = ready.length > 0 ? 0n : clocks[0]!.wait;
      for (const it of clocks) if (it.wait < wait) wait = it.wait;
      for (const it of clocks) {
        if (it.wait === wait) ready.push({ userdata: it.userdata, type: wasi.EVENTTYPE_CLOCK, error: 0, bytes: 0n });
      }
      if (wait === 0n) return report();
      context.clock!.sleep(wait);
      context.outlet.flush();
      const slept = context.outside.sleep(Number(wait / NS_PER_MS));
      return slept instanceof Promise ? slept.then(report) : report();
    },
  };
}
