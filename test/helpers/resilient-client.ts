import type { Json } from './json.ts';

/** On Socket.IO, a gap in `rev` means that changes were missed. On `/chat`, which has only messages, it does not. */
type Gaps = 'are missed changes' | 'are changes of other kinds';

/** A client's copy of a room, which follows the rules of the protocol. */
export class RoomCopy {
  readonly messages: { seq: number; content: string }[] = [];
  /** The number of joins in which the server could not deliver the missed changes. */
  unrecovered = 0;
  rev = 0;
  cursor: string | undefined;
  maxSilenceMs = 0;
  readonly #gaps: Gaps;
  #lastMs = Date.now();

  constructor(gaps: Gaps) {
    this.#gaps = gaps;
  }

  /** Returns false if a change before it is missing. */
  apply(change: Json, isMessage: boolean): boolean {
    if (change.rev <= this.rev) return true;
    if (change.rev !== this.rev + 1 && this.#gaps === 'are missed changes') return false;
    this.rev = change.rev;
    this.cursor = change.cursor;
    if (isMessage) this.messages.push({ seq: change.seq, content: change.content });
    this.#onReceived();
    return true;
  }

  /** Handles the acknowledgement of a join. */
  onJoined({ rev, cursor, recovered }: Json): void {
    if (recovered) return;
    if (this.cursor !== undefined) this.unrecovered += 1;
    this.rev = rev;
    this.cursor = cursor;
    this.#onReceived();
  }

  #onReceived(): void {
    const now = Date.now();
    this.maxSilenceMs = Math.max(this.maxSilenceMs, now - this.#lastMs);
    this.#lastMs = now;
  }
}

/** A client as the protocol describes it: it reconnects automatically, and repeats messages that were not answered. */
export interface ResilientClient {
  copy: RoomCopy;
  /** Resolves when the message is acknowledged. */
  send(content: string, client_msg_id: string): Promise<void>;
}

export const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
