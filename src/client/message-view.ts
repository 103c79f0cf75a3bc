import type { ThreadEvents } from './api.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import { Store } from './store.ts';

const noMessages: readonly Message[] = [];

/** A list of messages as the application sees it: in a room or in a thread. */
export abstract class MessageView<Events extends ThreadEvents, Snapshot extends object> extends Store<
  Events,
  Snapshot
> {
  /** Undefined before the first page is loaded. A reset replaces it. */
  abstract readonly list: MessageList | undefined;

  get messages(): readonly Message[] {
    return this.list?.messages ?? noMessages;
  }

  get hasOlder(): boolean {
    return this.list?.hasOlder ?? false;
  }

  get hasNewer(): boolean {
    return this.list?.hasNewer ?? false;
  }

  loadOlder(limit?: number): Promise<readonly Message[]> {
    return this.#loadMore('older', limit);
  }

  loadNewer(limit?: number): Promise<readonly Message[]> {
    return this.#loadMore('newer', limit);
  }

  loadLatest(limit?: number): Promise<readonly Message[]> {
    return this.#loadMore('latest', limit);
  }

  async #loadMore(direction: 'older' | 'newer' | 'latest', limit: number | undefined): Promise<readonly Message[]> {
    const { list } = this;
    const messages = (await list?.loadMore(direction, limit)) ?? noMessages;
    // If a reset has replaced the list, the page does not belong to the new list.
    if (list !== this.list) return noMessages;
    this.#emitDropped();
    this.changed();
    return messages;
  }

  protected handleMessage(message: Message): void {
    this.emit('message', message);
    this.#emitDropped();
    this.changed();
  }

  #emitDropped(): void {
    const dropped = this.list!.dropExcess();
    if (dropped.length > 0) this.emit('dropped', dropped);
  }

  protected handleChanged = (message: Message): void => {
    this.emit('changed', message);
    this.changed();
  };
}
