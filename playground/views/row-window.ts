/** Messages that are rendered at the end of the conversation. */
const atEnd = 120;
/** How many come in when somebody reads on. */
const step = 80;
/** Never more than these are rendered. */
const max = 280;

interface Numbered {
  seq: number;
}

/** The part of a long conversation that is rendered: its end, or where somebody is reading. By `seq`, as messages come and go. */
export class RowWindow {
  /** Seq of the first and of the last message; undefined: at the end. */
  #range: { first: number; last: number } | undefined;

  /** To the newest messages again. */
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

  /** Keeps what is rendered where it is, while messages arrive. */
  hold(messages: readonly Numbered[]): void {
    const { from, to } = this.#bounds(messages);
    this.#set(messages, from, to);
  }

  /** False where there is nothing earlier among these. */
  showEarlier(messages: readonly Numbered[]): boolean {
    const { from, to } = this.#bounds(messages);
    if (from === 0) return false;
    const first = Math.max(0, from - step);
    this.#set(messages, first, Math.min(to, first + max));
    return true;
  }

  /** False where there is nothing later among these. */
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
    // What was rendered has been dropped.
    if (from < 0 || to <= from) return { from: 0, to: Math.min(atEnd, messages.length) };
    return { from, to };
  }
}
