import type { RoomState } from './api.ts';
import { ChatClientError } from './client-error.ts';
import type { RemovalCode } from './wire.ts';

/** In which a room is to be joined. */
const wanted: readonly RoomState[] = ['joining', 'live', 'away'];

/** How we stand with a room, and who waits to be in it. */
export class Standing {
  state: RoomState = 'joining';
  error: ChatClientError | undefined;
  removal: RemovalCode | undefined;
  #waiting: { resolve(): void; reject(error: ChatClientError): void }[] = [];

  get isWanted(): boolean {
    return wanted.includes(this.state);
  }

  /** False where it is the same as before. */
  enter(state: RoomState): boolean {
    if (this.state === state) return false;
    this.state = state;
    if (state === 'live') for (const { resolve } of this.#waiting.splice(0)) resolve();
    else if (!this.isWanted) this.stopWaiting(this.#reason());
    return true;
  }

  /** `refusal`: why nothing will be joined for now. */
  joined(refusal: ChatClientError | undefined): Promise<void> {
    if (this.state === 'live') return Promise.resolve();
    const why = this.isWanted ? refusal : this.#reason();
    if (why) return Promise.reject(why);
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }));
  }

  stopWaiting(why: ChatClientError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(why);
  }

  #reason(): ChatClientError {
    if (this.error) return this.error;
    if (this.removal && this.state === 'removed') return ChatClientError.removed(this.removal);
    return new ChatClientError('CLOSED', 'The room has been left');
  }
}
