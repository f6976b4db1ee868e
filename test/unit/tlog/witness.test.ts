/** Witnesses and their cosignatures (C2SP tlog-witness, tlog-cosignature). */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { consistencyProof, leafHash, RightEdge, verify, witness } from "../../../src/audit/index.ts";
import { toBase64 } from "../../../src/base/base64.ts";
import { VakError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/tlog/checkpoint.ts";
import { tileHashes } from "../../../src/tlog/proof.ts";
import { startWitness } from "../../outside/witness.ts";
import { logOpen, MemoryLog, ORIGIN, signed } from "../audit/memory-log.ts";

let server: Awaited<ReturnType<typeof startWitness>>;
let vkey: string;

beforeAll(async () => {
  server = await startWitness();
  vkey = (await signed(0, new Uint8Array(32))).vkey;
});
afterAll(() => server.close());
beforeEach(() => {
  server.behave();
  server.know(vkey);
  server.statuses.length = 0;
});

async function makeLog(size: number, message: string): Promise<MemoryLog> {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  for (let i = 1; i < size; i++) log.append({ type: "policy-refused", textDigest: "00".repeat(32), message });
  log.commit();
  return log;
}

async function checkpointOf(log: MemoryLog, size: number): Promise<Checkpoint> {
  const tree = new RightEdge();
  for (const entry of log.stored.slice(0, size)) tree.append(leafHash(entry));
  const { note } = await signed(size, tree.root());
  return { origin: ORIGIN, size, root: toBase64(tree.root()), note };
}

const proofsOf = (log: MemoryLog) => ({
  consistency: async (oldSize: number, newSize: number) =>
    oldSize === 0 ? [] : consistencyProof(oldSize, newSize, tileHashes(log)),
});

const rollback = { code: "log-rollback" };

describe("a witness", () => {
  test("cosigns checkpoints as the log grows, and a bundle with its cosignature verifies", async () => {
    const log = await makeLog(300, "a");
    const anchor = witness({ url: `${server.url}/`, vkey: server.vkey });
    let last = "";
    for (const size of [1, 2, 256, 300, 300]) {
      const checkpoint = await checkpointOf(log, size);
      last = checkpoint.note + (await anchor.put(checkpoint, proofsOf(log)));
    }
    expect(server.sizeOf(ORIGIN)).toBe(300);
    expect(server.statuses).toEqual([200, 200, 200, 200, 200]);

    const files = await log.bundle();
    files.set("checkpoint", new TextEncoder().encode(last));
    const report = await verify(files, { keys: [vkey], witnesses: [server.vkey] });
    expect(report).toMatchObject({ ok: true, problems: [], notChecked: [], witnesses: [{ key: server.vkey }] });
    expect(Math.abs(report.witnesses[0]!.time - Date.now())).toBeLessThan(60_000);
    // A verifier that does not know the witness ignores it, and says so.
    expect((await verify(files, { keys: [vkey] })).notChecked).toEqual([
      "1 signature of the checkpoint is by a key that was not given",
    ]);
    expect((await verify(await log.bundle(), { keys: [vkey], witnesses: [server.vkey] })).problems).toEqual([
      { where: "checkpoint", message: `It is not cosigned by ${server.vkey}.` },
    ]);
    files.set("checkpoint", new TextEncoder().encode(last.replace("\n300\n", "\n299\n")));
    expect((await verify(files, { keys: [vkey], witnesses: [server.vkey] })).ok).toBe(false);
    await expect(verify(files, { witnesses: [vkey] })).rejects.toThrow(VakError);
    await expect(verify(files, { keys: [server.vkey] })).rejects.toThrow(VakError);
  });

  test("that has cosigned another size than expected is asked again from that size", async () => {
    const log = await makeLog(300, "a");
    await witness({ url: server.url, vkey: server.vkey }).put(await checkpointOf(log, 100), proofsOf(log));
    await witness({ url: server.url, vkey: server.vkey }).put(await checkpointOf(log, 300), proofsOf(log));
    expect(server.statuses).toEqual([200, 409, 200]);
  });

  test("that has cosigned a longer log reveals a rollback", async () => {
    const log = await makeLog(300, "a");
    await witness({ url: server.url, vkey: server.vkey }).put(await checkpointOf(log, 300), proofsOf(log));
    const again = witness({ url: server.url, vkey: server.vkey });
    await expect(again.put(await checkpointOf(log, 200), proofsOf(log))).rejects.toMatchObject(rollback);
  });

  test("that has cosigned another log of that origin, of the same size or shorter, reveals a fork", async () => {
    const [log, fork] = [await makeLog(300, "a"), await makeLog(300, "b")];
    await witness({ url: server.url, vkey: server.vkey }).put(await checkpointOf(log, 200), proofsOf(log));
    for (const size of [200, 300]) {
      const anchor = witness({ url: server.url, vkey: server.vkey });
      await expect(anchor.put(await checkpointOf(fork, size), proofsOf(fork))).rejects.toMatchObject(rollback);
    }
    expect(server.statuses.slice(1)).toEqual([409, 409, 409, 422]);
    expect(server.sizeOf(ORIGIN)).toBe(200);
  });

  test("that does not know the log or its key, or is broken, gives no cosignature and reports no rollback", async () => {
    const log = await makeLog(3, "a");
    const checkpoint = await checkpointOf(log, 3);
    const good = await witness({ url: server.url, vkey: server.vkey }).put(checkpoint, proofsOf(log));
    const other = await startWitness("witness.example/w2", 43);
    other.know(vkey);
    const othersLine = await witness({ url: other.url, vkey: other.vkey }).put(checkpoint, proofsOf(log));
    await other.close();
    const answers: [number, string][] = [
      [404, "unknown"],
      [403, "forbidden"],
      [400, ""],
      [500, "x".repeat(1000)],
      [409, ""],
      [409, "many\n"],
      [409, "01\n"],
      [409, "0\n"],
      [409, "2\n"],
      [200, ""],
      [200, "nonsense"],
      [200, othersLine!],
      [200, good!.replace(/(.)(.{10}\n)$/, (_, char, rest) => (char === "A" ? "B" : "A") + rest)],
      [200, "x".repeat(100_000)],
    ];
    for (const [status, text] of answers) {
      server.answer(status, text);
      const error = await witness({ url: server.url, vkey: server.vkey })
        .put(checkpoint, proofsOf(log))
        .catch((error: unknown) => error);
      expect(error, `${status} ${text.slice(0, 20)}`).toBeInstanceOf(Error);
      expect((error as VakError).code).not.toBe("log-rollback");
    }
    server.answer(200, `${othersLine}nonsense\n${good}`);
    expect(await witness({ url: server.url, vkey: server.vkey }).put(checkpoint, proofsOf(log))).toBe(good);
    const gone = witness({ url: other.url, vkey: other.vkey });
    await expect(gone.put(checkpoint, proofsOf(log))).rejects.toThrow();
  });

  test("needs a key of type 0x04", () => {
    for (const key of [vkey, "nonsense"]) expect(() => witness({ url: server.url, vkey: key })).toThrow(VakError);
  });
});
