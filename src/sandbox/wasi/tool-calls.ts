/** The imports of the module `vak`, by which a program calls a tool: each returns a length or a negative errno. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { ask, type Context, type SystemCalls } from "./context.ts";

export function toolCalls(context: Context): SystemCalls {
  const { limits, memory } = context;
  return {
    call: (ptr: number, len: number) => {
      if (len >>> 0 > limits.callBytes) return -wasi.ERRNO_2BIG;
      const request = memory.bytes(ptr, len).slice();
      const take = (bytes: Uint8Array) => {
        context.answer = bytes;
        return bytes.byteLength;
      };
      const answered = ask(context, request);
      return answered instanceof Promise ? answered.then(take) : take(answered);
    },
    answer: (ptr: number) => {
      if (!context.answer) return -wasi.ERRNO_NOMSG;
      memory.write(ptr, context.answer);
      return context.answer.byteLength;
    },
  };
}
