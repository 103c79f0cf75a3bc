/** Narrow, for there are no types of the DOM here; `randomUUID` is missing on pages without https, and in React Native. */
const { crypto } = globalThis as { crypto?: { randomUUID?(): string } };

const createDigits = () => Math.random().toString(36).slice(2);

/** Unique among the messages of one user in one room, which is all that is asked of it. */
export function createMessageId(): string {
  return crypto?.randomUUID?.() ?? `${Date.now().toString(36)}-${createDigits()}-${createDigits()}`;
}
