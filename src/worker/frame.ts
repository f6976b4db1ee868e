/**
 * A worker inside a sandboxed iframe, for isolation "frame": an opaque origin, a process of its own where the browser
 * gives it one, and a Content Security Policy under which nothing can be fetched and only WebAssembly can be compiled.
 */
import { clip } from "../base/clip.ts";
import type { Channel } from "./channel.ts";

/**
 * All that runs in the frame: it starts a worker from the URL that it is sent, and hands it the port that comes with
 * the URL. It accepts one message, and of the worker it hears only that it failed.
 */
export const FRAME_SCRIPT =
  'onmessage=({data,ports})=>{onmessage=null;const lost=(e)=>parent.postMessage({vak:"lost",why:String(e.message)},"*");' +
  'try{let url=data;try{url=trustedTypes.createPolicy("vak",{createScriptURL:(u)=>u}).createScriptURL(url)}catch{}' +
  'const worker=new Worker(url,{name:"vak"});worker.onerror=(e)=>{e.preventDefault();lost(e)};' +
  'worker.postMessage({vak:"connect"},ports)}catch(e){lost(e)}};parent.postMessage({vak:"frame"},"*")';

/** The hash of {@link FRAME_SCRIPT}, for the policies of the frame and of the page; a test compares the two. */
export const FRAME_HASH = "sha256-RhmF8o0ME7adSB5FyqIoWdi+nNe5DZvqE0c4umLCpz0=";

/** The frame's own policy; the page's applies in it as well. */
export const FRAME_POLICY = `default-src 'none'; script-src '${FRAME_HASH}' 'wasm-unsafe-eval'; worker-src data:`;
const HTML = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${FRAME_POLICY}"><script>${FRAME_SCRIPT}</script>`;

/** ms that the frame's script has to report, once the frame has loaded. */
const PATIENCE = 5000;

/** UTF-16 units of what the frame says of a failure. */
const MAX_MESSAGE = 1000;

/**
 * @param workerUrl a `data:` URL
 * @param trustHtml marks vak's own HTML as safe, where Trusted Types are required
 */
export function openFrame(workerUrl: string, trustHtml: (html: string) => string): Channel {
  const { port1: port, port2: theirs } = new MessageChannel();
  const frame = document.createElement("iframe");
  frame.sandbox.add("allow-scripts");
  frame.hidden = true;
  frame.srcdoc = trustHtml(HTML);
  let connected = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lost = (_why: string) => {};

  const onMessage = ({ source, data }: MessageEvent) => {
    if (!source || source !== frame.contentWindow) return;
    if (data?.vak === "frame" && !connected) {
      connected = true;
      frame.contentWindow.postMessage(workerUrl, "*", [theirs]);
    } else if (data?.vak === "lost") lost(`the worker failed in its frame: ${clip(String(data.why), MAX_MESSAGE)}`);
  };
  addEventListener("message", onMessage);
  frame.addEventListener("load", () => {
    timer = setTimeout(() => {
      if (!connected) lost("the script of its frame did not run");
    }, PATIENCE);
  });
  (document.body ?? document.documentElement).append(frame);

  return {
    post: (message, transfer) => port.postMessage(message, transfer),
    listen: (onData, onLost) => {
      lost = onLost;
      port.onmessage = ({ data }) => onData(data);
      port.onmessageerror = () => onLost("the worker sent a message that cannot be read");
    },
    end: () => {
      port.onmessage = port.onmessageerror = null;
      port.close();
      removeEventListener("message", onMessage);
      clearTimeout(timer);
      frame.remove();
    },
  };
}
