import type { Json } from './json.ts';

/** On Socket.IO a gap in `rev` is something missed; on `/chat`, which carries messages only, it is not. */
type Gaps = 'are missed changes' | 'are changes of other kinds';

/** What one client has of a room, kept by the three lines of the protocol. */
export class RoomCopy {
  readonly messages: { seq: number; content: string }[] = [];
  /** How often it was told that what it missed cannot be had. */
  unrecovered = 0;
  rev = 0;
  cursor: string | undefined;
  maxSilenceMs = 0;
  readonly #gaps: Gaps;
  #lastMs = Date.now();

  constructor(gaps: Gaps) {
    this.#gaps = gaps;
  }

  /** False where something is missing before it. */
  apply(change: Json, isMessage: boolean): boolean {
    if (change.rev <= this.rev) return true;
    if (change.rev !== this.rev + 1 && this.#gaps === 'are missed changes') return false;
    this.rev = change.rev;
    this.cursor = change.cursor;
    if (isMessage) this.messages.push({ seq: change.seq, content: change.content });
    this.#onReceived();
    return true;
  }

  /** What it is told of its place when it joins. */
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

/** A client as the protocol wants it: it comes back by itself, and sends again what was not answered. */
export interface ResilientClient {
  copy: RoomCopy;
  /** Resolves when the message is acknowledged. */
  send(content: string, client_msg_id: string): Promise<void>;
}

export const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
