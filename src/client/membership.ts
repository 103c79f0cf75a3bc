import type { RoomState } from './api.ts';
import { Conversation } from './conversation.ts';
import { ChatClientError } from './errors.ts';
import { PendingCalls } from './pending-calls.ts';
import type { RemovalCode } from './wire.ts';

/** In these states the room is joined, or the client will try to join it. */
const wantedStates: readonly RoomState[] = ['joining', 'joined', 'reconnecting'];

/** The states in the second table of STATES.md: whether the client is in the room, and why not. */
export abstract class Membership extends Conversation {
  state: RoomState = 'idle';
  error: ChatClientError | undefined;
  removalReason: RemovalCode | undefined;
  rights = '';
  /** The pending calls of `joined()`. */
  readonly #pending = new PendingCalls();

  get isWanted(): boolean {
    return wantedStates.includes(this.state);
  }

  protected get isReady(): boolean {
    return this.state === 'joined' || !this.isWanted;
  }

  async joined(): Promise<void> {
    if (this.state === 'joined') return;
    const error = this.isWanted || this.state === 'idle' ? this.connection.refusal : this.#toError();
    if (error) throw error;
    await this.#pending.wait().finally(this.hold());
  }

  /** The client stops connecting, so pending calls of `joined()` must reject. */
  onUnauthorized(error: ChatClientError): void {
    this.#pending.settle(error);
  }

  /** Enters a state in which nothing is wrong. */
  protected open(state: 'joining' | 'joined'): void {
    this.error = this.removalReason = undefined;
    this.enter(state);
  }

  protected reject(error: ChatClientError): void {
    this.error = error;
    this.enter(this.removalReason ? 'removed' : 'rejected');
  }

  protected enter(state: RoomState): void {
    if (this.state === state) return;
    this.state = state;
    if (state === 'rejected' || state === 'removed') this.rights = '';
    this.queuedMessages.update();
    // Before the event, because a listener may change the state again.
    if (state === 'joined') this.#pending.settle();
    else if (!this.isWanted) this.#pending.settle(this.#toError());
    this.emit('state', state);
    this.changed();
  }

  #toError(): ChatClientError {
    if (this.error) return this.error;
    if (this.removalReason && this.state === 'removed') return ChatClientError.fromRemoval(this.removalReason);
    return new ChatClientError('CLOSED', 'The client has left the room');
  }
}
