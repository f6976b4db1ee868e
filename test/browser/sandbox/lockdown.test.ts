/** What a worker can still reach after the lockdown. */
import { expect, test } from "vitest";

/** What reaches the network, storage, other tabs, other workers, or the page. */
const doors = [
  ..."fetch XMLHttpRequest WebSocket WebSocketStream EventSource WebTransport RTCPeerConnection importScripts".split(
    " ",
  ),
  ..."indexedDB caches cookieStore navigator location origin BroadcastChannel Worker SharedWorker".split(" "),
  ..."FontFace FontFaceSet fonts Request Response Headers Notification ServiceWorkerRegistration".split(" "),
  ..."crypto CryptoKey SubtleCrypto FileReader FileReaderSync Blob File URL createImageBitmap".split(" "),
  ..."OffscreenCanvas ImageBitmap VideoDecoder LockManager StorageManager FileSystemHandle PushManager".split(" "),
  ..."WorkerNavigator WorkerLocation requestAnimationFrame queueMicrotask reportError setInterval".split(" "),
];

test("attack: a subverted worker looks for a way out: none of its globals is left", async () => {
  const worker = new Worker(new URL("./lockdown.worker.ts", import.meta.url), { type: "module" });
  const names = new Map(
    await new Promise<[string, string][]>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    }),
  );
  worker.terminate();
  const open = doors.filter((name) => names.has(name) && names.get(name) !== "undefined");
  expect(open).toEqual([]);
  // The check can see: what the sandbox needs is there.
  expect(names.get("WebAssembly")).toBe("object");
  expect(names.get("postMessage")).toBe("function");
});
