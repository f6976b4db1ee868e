/** A witness (C2SP tlog-witness) to test with. */
import { createServer } from "node:http";
import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import { parseCheckpoint } from "../../src/tlog/checkpoint.ts";
import { verifyConsistency } from "../../src/tlog/merkle-proof.ts";
import { cosignatureVerifier, formatVkey } from "../../src/tlog/note.ts";
import { cosignedMessage, parseNote, parseVkey, verifyNote } from "../../src/tlog/note-reading.ts";

const utf8 = new TextEncoder();

/** Starts a witness that remembers the newest checkpoint that it cosigned for each log. */
export async function startWitness(name = "witness.example/w1", seed = 42) {
  const secret = new Uint8Array(32).fill(seed);
  const verifier = cosignatureVerifier(name, await getPublicKeyAsync(secret));
  const logs = new Map<string, { vkey: string; size: number; root: Uint8Array<ArrayBuffer> }>();
  /** The answer to give instead of its own. */
  let instead: { status: number; text: string } | undefined;
  const statuses: number[] = [];

  async function addCheckpoint(body: string): Promise<{ status: number; text: string }> {
    const blank = body.indexOf("\n\n");
    const [old = "", ...lines] = body.slice(0, blank).split("\n");
    const note = parseNote(utf8.encode(body.slice(blank + 2)));
    const { origin, size, root } = parseCheckpoint(note.text);
    const known = logs.get(origin);
    if (!known) return { status: 404, text: "unknown origin" };
    if (!(await verifyNote(note, [parseVkey(known.vkey)]).catch(() => undefined))) return { status: 403, text: "no" };
    const oldSize = /^old (\d+)$/.test(old) ? Number(old.slice(4)) : Number.NaN;
    if (!(oldSize <= size)) return { status: 400, text: "old size" };
    if (oldSize !== known.size) return { status: 409, text: `${known.size}\n` };
    if (oldSize === size && Buffer.compare(root, known.root) !== 0 && size > 0) {
      return { status: 409, text: `${known.size}\n` };
    }
    const proof = lines.map((line) => new Uint8Array(Buffer.from(line, "base64")));
    const consistent = oldSize === 0 ? proof.length === 0 : verifyConsistency(oldSize, size, known.root, root, proof);
    if (!consistent) return { status: 422, text: "not consistent" };
    logs.set(origin, { vkey: known.vkey, size, root });
    const time = BigInt(Math.floor(Date.now() / 1000));
    const signature = await signAsync(cosignedMessage(time, note.text), secret);
    const stamp = Buffer.alloc(8);
    stamp.writeBigUInt64BE(time);
    const line = Buffer.concat([verifier.keyId, stamp, signature]).toString("base64");
    return { status: 200, text: `— ${name} ${line}\n` };
  }

  const server = createServer(async (request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const isAdd = request.method === "POST" && request.url === "/add-checkpoint";
    const { status, text } =
      instead ?? (isAdd ? await addCheckpoint(Buffer.concat(chunks).toString()) : { status: 404, text: "" });
    statuses.push(status);
    response.writeHead(status, { "Content-Type": status === 409 ? "text/x.tlog.size" : "text/plain" }).end(text);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the witness has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    vkey: formatVkey(verifier),
    statuses,
    /** Makes it cosign a log from now on. */
    know: (vkey: string) => logs.set(parseVkey(vkey).name, { vkey, size: 0, root: new Uint8Array() }),
    sizeOf: (origin: string) => logs.get(origin)?.size,
    answer: (status: number, text: string) => {
      instead = { status, text };
    },
    behave: () => {
      instead = undefined;
    },
    close: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
