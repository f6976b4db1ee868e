/** A client of witnesses (C2SP tlog-witness), which cosign checkpoints of a log after checking that it only grew. */
import { toBase64 } from "../base/base64.ts";
import { clip } from "../base/clip.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { Anchor, ProofSource } from "./anchor.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { parseNote, parseVkey, verifyNote } from "./note-reading.ts";

/** How often a witness is asked again about one checkpoint. */
const MAX_RETRIES = 3;
/** The longest answer that is read, characters. */
const MAX_ANSWER = 65_536;

export interface WitnessOptions {
  /** The witness's submission prefix, to which `/add-checkpoint` is added. */
  url: string;
  /** Its key (vkey), of type 0x04. */
  vkey: string;
  /** How long it may take to answer, ms; 10,000 by default. */
  timeoutMs?: number;
}

/**
 * A witness as the anchor of a log: its cosignatures are kept with the log's checkpoints. It must know the log's key;
 * until it does, it answers 404 or 403.
 *
 * @throws VakError `invalid-argument` when the key is not a witness's
 * @example
 * const anchor = witness({ url: "https://witness.example", vkey });
 */
export function witness({ url, vkey, timeoutMs = 10_000 }: WitnessOptions): Anchor {
  const verifier = readKey(vkey);
  /** The size that it cosigned last, by origin, as far as is known here. */
  const sizes = new Map<string, number>();

  async function add({ note }: Checkpoint, oldSize: number, proof: readonly Uint8Array[]): Promise<Answer> {
    const body = `old ${oldSize}\n${proof.map((hash) => `${toBase64(hash)}\n`).join("")}\n${note}`;
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(`${url.replace(/\/$/, "")}/add-checkpoint`, { method: "POST", body, signal });
    return { status: response.status, text: await readText(response) };
  }

  async function put(checkpoint: Checkpoint, proofs: ProofSource): Promise<string> {
    const { origin, size } = checkpoint;
    // Asked again with the size that it says it has cosigned, which may have grown since.
    for (let asked = 0; ; asked++) {
      const oldSize = Math.min(sizes.get(origin) ?? 0, size);
      const { status, text } = await add(checkpoint, oldSize, await proofs.consistency(oldSize, size));
      if (status === 200) {
        sizes.set(origin, size);
        return await validLine(checkpoint, text);
      }
      if (status === 422) throw rollback("it does not extend what the witness has cosigned");
      if (status !== 409) throw new Error(`the witness answered ${status}: ${clip(text, 200)}`);
      const seen = /^(0|[1-9]\d{0,15})\n$/.test(text) ? Number(text) : Number.NaN;
      if (seen > size) throw rollback(`it has ${size} entries, but the witness has cosigned ${seen}`);
      // The size is right, so the root is different.
      if (seen === oldSize && seen === size)
        throw rollback(`its ${size} entries are not those that the witness has cosigned`);
      if (seen === oldSize || asked === MAX_RETRIES) throw new Error("the witness refuses the size that it gave");
      if (Number.isNaN(seen)) throw new Error("the witness answered 409 without a size");
      sizes.set(origin, seen);
    }
  }

  /** The first valid signature by this witness; others are ignored, as the specification says. */
  async function validLine({ note }: Checkpoint, text: string): Promise<string> {
    const lines = text.split("\n").filter((line) => line.startsWith(`— ${verifier.name} `));
    for (const line of lines) {
      const signed = parseNote(toUtf8(`${note}${line}\n`));
      const signers = await verifyNote(signed, [verifier]).catch(() => []);
      if (signers.length > 0) return `${line}\n`;
    }
    throw new Error("the witness answered 200 without its cosignature");
  }

  return { put };
}

interface Answer {
  status: number;
  text: string;
}

async function readText(response: Response): Promise<string> {
  let text = "";
  if (!response.body) return text;
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    text += decoder.decode(value, { stream: true });
    if (text.length > MAX_ANSWER) {
      await reader.cancel();
      throw new Error("the witness's answer is too long");
    }
  }
  return text + decoder.decode();
}

function readKey(vkey: string) {
  let cause: unknown;
  try {
    const verifier = parseVkey(vkey);
    if (verifier.cosigns) return verifier;
  } catch (error) {
    cause = error;
  }
  throw new VakError(
    "invalid-argument",
    "This is not the key of a witness: give one of type 0x04 (C2SP tlog-cosignature).",
    {
      cause,
    },
  );
}

function rollback(what: string): VakError {
  return new VakError("log-rollback", `The log was rolled back or forked: ${what}. Keep it for an investigation.`);
}
