/** How much of its limits a run has used. */
import { type Limits, MiB, type Usage } from "../src/index.ts";
import { byId, el, formatBytes, formatSeconds } from "./dom.ts";

export const limits = {
  fuel: 200e9,
  memoryBytes: 128 * MiB,
  deadlineMs: 30_000,
  outputBytes: 256 * 1024,
  calls: 100,
} satisfies Partial<Limits>;

type Gauge = keyof typeof limits;

/** Units of fuel, as 1.2 G. */
const formatFuel = (units: number) => (units < 1e9 ? `${Math.ceil(units / 1e6)} M` : `${(units / 1e9).toFixed(1)} G`);

const gauges: Record<Gauge, { title: string; format(value: number): string }> = {
  fuel: { title: "Fuel", format: formatFuel },
  memoryBytes: { title: "Memory", format: formatBytes },
  deadlineMs: { title: "Time", format: formatSeconds },
  outputBytes: { title: "Output", format: formatBytes },
  calls: { title: "Calls", format: String },
};

export interface UsageView {
  /** Resets all gauges. */
  clear(): void;
  /** Starts the clock. */
  start(): void;
  /** During a run: bytes are added up, calls have the numbers of the log. */
  output(bytes: number): void;
  calls(number: number): void;
  /** What the kernel measured. Without it, the gauges stay as they are. */
  end(usage?: Usage): void;
}

export function createUsage(): UsageView {
  const cells = Object.fromEntries(
    Object.entries(gauges).map(([name, { title, format }]) => {
      const value = el("span", "value", "–");
      const bar = el("span", "bar");
      const most = `of ${format(limits[name as Gauge]).replace(/\.0(?=\D)/, "")}`;
      byId("usage").append(el("div", "", el("dt", "", title), el("dd", "", value, el("small", "", most), bar)));
      return [name, { value, bar }];
    }),
  ) as Record<Gauge, { value: HTMLElement; bar: HTMLElement }>;

  function set(name: Gauge, used: number | null): void {
    const { value, bar } = cells[name];
    value.textContent = used === null ? "–" : gauges[name].format(used);
    const share = Math.min(1, (used ?? 0) / limits[name]);
    bar.style.setProperty("--share", String(share));
    bar.classList.toggle("full", share === 1);
  }

  let written = 0;
  let clock: ReturnType<typeof setInterval> | undefined;
  return {
    clear() {
      written = 0;
      for (const name of Object.keys(gauges) as Gauge[]) set(name, null);
    },
    start() {
      // Fuel and memory are only known at the end.
      set("outputBytes", 0);
      set("calls", 0);
      const began = performance.now();
      clearInterval(clock);
      clock = setInterval(() => set("deadlineMs", performance.now() - began), 100);
    },
    output(bytes) {
      written += bytes;
      set("outputBytes", written);
    },
    calls: (number) => set("calls", number),
    end(usage) {
      clearInterval(clock);
      if (!usage) return;
      set("fuel", usage.fuel);
      set("memoryBytes", usage.memoryBytes);
      set("deadlineMs", usage.wallMs);
      set("outputBytes", usage.outputBytes);
      set("calls", usage.calls);
    },
  };
}
