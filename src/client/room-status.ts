import type { RoomState } from './api.ts';
import { ChatClientError } from './errors.ts';
import type { RemovalCode } from './wire.ts';

/** In these states the room is joined, or the client will try to join it. */
const wantedStates: readonly RoomState[] = ['joining', 'joined', 'reconnecting'];

/** The state of the room, and the pending calls of `joined()`. */
export class RoomStatus {
  state: RoomState = 'joining';
  error: ChatClientError | undefined;
  removalReason: RemovalCode | undefined;
  #waiting: { resolve(): void; reject(error: ChatClientError): void }[] = [];

  get isWanted(): boolean {
    return wantedStates.includes(this.state);
  }

  /** Returns false if the state is the same as before. */
  setState(state: RoomState): boolean {
    if (this.state === state) return false;
    this.state = state;
    if (state === 'joined') for (const { resolve } of this.#waiting.splice(0)) resolve();
    else if (!this.isWanted) this.rejectWaiting(this.#toError());
    return true;
  }

  /** `refusal` is the error that made the client `unauthorized`. It is undefined in the other states of the client. */
  whenJoined(refusal: ChatClientError | undefined): Promise<void> {
    if (this.state === 'joined') return Promise.resolve();
    const error = this.isWanted ? refusal : this.#toError();
    if (error) return Promise.reject(error);
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }));
  }

  rejectWaiting(error: ChatClientError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #toError(): ChatClientError {
    if (this.error) return this.error;
    if (this.removalReason && this.state === 'removed') return ChatClientError.fromRemoval(this.removalReason);
    return new ChatClientError('CLOSED', 'The client has left the room');
  }
}
