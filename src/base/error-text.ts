/**
 * What was thrown, as text: the `message` of an error, which may be another realm's or a plain object (as wallets
 * throw), or else the value. Never throws, although a tool or a server may throw a value that has no text.
 */

export function errorText(error: unknown): string {
  try {
    return String((error as { message?: unknown } | null | undefined)?.message ?? error);
  } catch {
    return "an error without a message";
  }
}
