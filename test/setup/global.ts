import { buildGuests } from "../../scripts/guests.mjs";

export default async function setup(): Promise<void> {
  await buildGuests();
}
