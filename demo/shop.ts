/** A small world that only tools can change, so that one can see that a denied call changes nothing. */
import { defineTool, type Tool } from "../src/index.ts";
import { byId, el } from "./dom.ts";

const COLORS = ["off", "green", "amber", "red"] as const;

const catalogue = {
  "A-17": { customer: "Ada", item: "Kettle", paid: 89 },
  "B-04": { customer: "Grace", item: "Desk lamp", paid: 240 },
  "C-31": { customer: "Linus", item: "Tea, 500 g", paid: 18 },
} as const;

type OrderId = keyof typeof catalogue;
const orderIds = Object.keys(catalogue) as OrderId[];

const opening = () => ({
  till: 500,
  refunded: { "A-17": 0, "B-04": 0, "C-31": 0 } as Record<OrderId, number>,
  accounts: ["Ada", "Grace", "Linus"],
  notes: [] as string[],
  lamp: "off" as (typeof COLORS)[number],
  sent: 0,
});

/** The part of the shop that each tool would change. */
const PARTS: Record<string, string> = {
  lookup_order: "orders",
  refund: "till",
  add_note: "notes",
  set_lamp: "lamp",
  delete_account: "accounts",
  send_email: "outbox",
};

export interface Shop {
  readonly tools: readonly Tool<never>[];
  /** Back to the state before anyone touched it. */
  reset(): void;
  /** Shows where a denied call would have had its effect. */
  withhold(tool: string): void;
}

export function createShop(): Shop {
  let state = opening();

  const order = { type: "string", description: `An order: ${orderIds.join(", ")}` } as const;
  const find = (id: string) => {
    if (!Object.hasOwn(catalogue, id)) throw new Error(`there is no order ${id}`);
    return { id: id as OrderId, ...catalogue[id as OrderId] };
  };
  const changed = (part: string) => {
    draw();
    flash(part, "changed");
  };

  const tools = [
    defineTool({
      name: "lookup_order",
      description: "Tells what was ordered, by whom, and what was paid and refunded, in euros.",
      inputSchema: { type: "object", properties: { order }, required: ["order"] },
      execute({ order }) {
        const { id, ...facts } = find(order);
        flash("orders", "read");
        return { ...facts, refunded: state.refunded[id] };
      },
    }),
    defineTool({
      name: "refund",
      description: "Refunds whole euros from the till to the customer of an order.",
      inputSchema: {
        type: "object",
        properties: { order, amount: { type: "integer", minimum: 1 } },
        required: ["order", "amount"],
      },
      execute({ order, amount }) {
        const { id, paid } = find(order);
        const left = Math.min(paid - state.refunded[id], state.till);
        if (amount > left) throw new Error(`at most ${left} euros can be refunded`);
        state.refunded[id] += amount;
        state.till -= amount;
        changed("till");
        flash("orders", "changed");
        return { till: state.till };
      },
    }),
    defineTool({
      name: "add_note",
      description: "Leaves a note for the shop's staff.",
      inputSchema: { type: "object", properties: { text: { type: "string", maxLength: 200 } }, required: ["text"] },
      execute({ text }) {
        state.notes.push(text);
        changed("notes");
        return { notes: state.notes.length };
      },
    }),
    defineTool({
      name: "set_lamp",
      description: "Switches the lamp over the counter.",
      inputSchema: { type: "object", properties: { color: { enum: COLORS } }, required: ["color"] },
      execute({ color }) {
        state.lamp = color;
        changed("lamp");
        return { lamp: color };
      },
    }),
    defineTool({
      name: "delete_account",
      description: "Permanently deletes a customer's account.",
      annotations: { destructiveHint: true },
      inputSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
      execute({ name }) {
        if (!state.accounts.includes(name)) throw new Error(`there is no account ${name}`);
        state.accounts = state.accounts.filter((account) => account !== name);
        changed("accounts");
        return { accounts: state.accounts };
      },
    }),
    defineTool({
      name: "send_email",
      description: "Sends an e-mail to one customer, or to all.",
      inputSchema: {
        type: "object",
        properties: { to: { type: "string" }, text: { type: "string", maxLength: 2000 } },
        required: ["to", "text"],
      },
      execute() {
        state.sent++;
        changed("outbox");
        return { sent: state.sent };
      },
    }),
  ];

  function draw(): void {
    byId("shop-till").textContent = `€ ${state.till}`;
    byId("shop-lamp").dataset.color = state.lamp;
    byId("shop-lamp-name").textContent = state.lamp;
    byId("shop-outbox").textContent = state.sent === 0 ? "nothing sent" : `${state.sent} sent`;
    byId("shop-notes").replaceChildren(
      ...(state.notes.length ? state.notes.slice(-3).map((note) => el("li", "", note)) : [el("li", "none", "none")]),
    );
    byId("shop-accounts").replaceChildren(
      ...Object.values(catalogue).map(({ customer }) =>
        el("li", state.accounts.includes(customer) ? "" : "gone", customer),
      ),
    );
    byId("shop-orders").replaceChildren(...orderIds.map(drawOrder));
  }

  function drawOrder(id: OrderId): HTMLElement {
    const { paid } = catalogue[id];
    const bar = el("span", "bar");
    bar.style.setProperty("--share", String(state.refunded[id] / paid));
    return el("li", "", el("span", "id", id), bar, el("span", "sum", `${state.refunded[id]} of ${paid}`));
  }

  draw();
  return {
    tools,
    reset() {
      state = opening();
      draw();
    },
    withhold(tool) {
      const part = PARTS[tool];
      if (part) flash(part, "withheld");
    },
  };
}

/** How long a part of the shop shows what has just happened to it, ms. */
const FLASH = 1400;
const timers = new Map<string, ReturnType<typeof setTimeout>>();

function flash(part: string, what: "changed" | "read" | "withheld"): void {
  const cell = byId(`shop-part-${part}`);
  clearTimeout(timers.get(part));
  delete cell.dataset.flash;
  void cell.offsetWidth; // restarts the animation
  cell.dataset.flash = what;
  timers.set(
    part,
    setTimeout(() => delete cell.dataset.flash, FLASH),
  );
}
