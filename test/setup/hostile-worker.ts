/** A worker that a test scripts, in place of the sandbox. */

/**
 * A worker whose JavaScript is the attacker's. It speaks the protocol well enough to get a run, and then does what
 * `onRun` says; `reply` answers the kernel's call, `call` asks for a tool as an honest worker would.
 *
 * @param onCall what it does first with any call but `compile`, named by `method`
 */
export function hostileWorker(onRun: string, onCall = ""): string {
  const source = `
    const send = postMessage.bind(self);
    const bytes = (text) => new TextEncoder().encode(text);
    const call = (number, text, run = 1) => send({ vak: "call", run, call: number, fuel: 1, bytes: bytes(text) });
    const output = (text, run = 1, fd = 1) => send({ vak: "output", run, fd, bytes: bytes(text) });
    const ADD = '{"tool":"add","input":{"a":1,"b":2}}';
    const END = {
      outcome: { status: "exited", exitCode: 0 }, fuel: 1, memoryBytes: 0, fileBytes: 0, files: "0".repeat(64), stop: null,
    };
    const met = (changes, readings, run = 1) => send({ vak: "met", run, fuel: 1, changes, readings });
    const POINT = { at: "check", systemCalls: 0, fuel: 1 };
    let answers;
    /** Waits for the kernel's answer, in shared memory if there is any. */
    const answered = async () => {
      if (!answers) {
        return new Promise((resolve) => addEventListener("message", ({ data }) => data.vak && resolve()));
      }
      const state = new Int32Array(answers, 0, 1);
      Atomics.wait(state, 0, 0);
      state[0] = 0;
    };
    addEventListener("message", async ({ data }) => {
      if (data.vak) return;
      const reply = (value) => send({ id: data.id, type: "RAW", value });
      const method = data.path[0];
      if (method === "compile") {
        const module = await WebAssembly.compile(data.argumentList[0].value);
        const reactor = WebAssembly.Module.exports(module).every(({ name }) => name !== "_start");
        return reply({ module, size: 1, start: null, reactor, imports: [], machine: "m" });
      }
      ${onCall}
      if (method === "writeFile") {
        return send({ id: data.id, type: "HANDLER", name: "throw", value: { isError: true, value: { message: "no" } } });
      }
      if (method === "listFiles") return reply([]);
      if (method === "boot") answers = data.argumentList[0].value.answers;
      if (method !== "run") return reply(undefined);
      ${onRun}
    });
    send({ vak: "hello", version: 1 });
  `;
  return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
}
