/** Number of rendered messages at the end of the conversation. */
const atEnd = 120;
/** Number of messages that scrolling adds at a time. */
const step = 80;
/** Upper limit of rendered messages. */
const max = 280;

interface Numbered {
  seq: number;
}

/** The rendered part of a long conversation: its end, or the part that is being read. Kept by `seq`, because indexes shift. */
export class RowWindow {
  /** The `seq` of the first and the last message; undefined at the end of the conversation. */
  #range: { first: number; last: number } | undefined;

  /** Back to the newest messages. */
  reset(): void {
    this.#range = undefined;
  }

  isAtEnd(messages: readonly Numbered[]): boolean {
    return this.#bounds(messages).to === messages.length;
  }

  isAtBeginning(messages: readonly Numbered[]): boolean {
    return this.#bounds(messages).from === 0;
  }

  of<T extends Numbered>(messages: readonly T[]): readonly T[] {
    const { from, to } = this.#bounds(messages);
    return messages.slice(from, to);
  }

  /** Keeps the rendered rows while messages arrive. */
  hold(messages: readonly Numbered[]): void {
    const { from, to } = this.#bounds(messages);
    this.#set(messages, from, to);
  }

  /** Returns false if these messages have no earlier rows. */
  showEarlier(messages: readonly Numbered[]): boolean {
    const { from, to } = this.#bounds(messages);
    if (from === 0) return false;
    const first = Math.max(0, from - step);
    this.#set(messages, first, Math.min(to, first + max));
    return true;
  }

  /** Returns false if these messages have no later rows. */
  showLater(messages: readonly Numbered[]): boolean {
    const { from, to } = this.#bounds(messages);
    if (to === messages.length) return false;
    const last = Math.min(messages.length, to + step);
    this.#set(messages, Math.max(from, last - max), last);
    return true;
  }

  #set(messages: readonly Numbered[], from: number, to: number): void {
    if (from < to) this.#range = { first: messages[from]!.seq, last: messages[to - 1]!.seq };
  }

  #bounds(messages: readonly Numbered[]): { from: number; to: number } {
    const range = this.#range;
    if (!range) return { from: Math.max(0, messages.length - atEnd), to: messages.length };
    const from = messages.findIndex(({ seq }) => seq >= range.first);
    const to = messages.findLastIndex(({ seq }) => seq <= range.last) + 1;
    // The client has dropped the rendered messages.
    if (from < 0 || to <= from) return { from: 0, to: Math.min(atEnd, messages.length) };
    return { from, to };
  }
}
