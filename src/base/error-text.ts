/** What was thrown, as text: never throws, although a tool or a server may throw a value that has no text. */

export function errorText(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "an error without a message";
  }
}
