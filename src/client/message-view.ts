import type { ThreadEvents } from './api.ts';
import { Emitter } from './emitter.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';

const noMessages: readonly Message[] = [];

/** A list of messages as the application sees it: in a room or in a thread. */
export abstract class MessageView<Events extends ThreadEvents> extends Emitter<Events> {
  /** Undefined before the first page is loaded. A reset replaces it. */
  abstract readonly list: MessageList | undefined;

  get messages(): readonly Message[] {
    return this.list?.messages ?? noMessages;
  }

  get hasOlder(): boolean {
    return this.list?.hasOlder ?? false;
  }

  async loadOlder(limit?: number): Promise<readonly Message[]> {
    const { list } = this;
    const messages = (await list?.loadOlder(limit)) ?? noMessages;
    this.emitUpdate();
    // If a reset has replaced the list, the page does not belong to the new list.
    return list === this.list ? messages : noMessages;
  }

  protected handleMessage(message: Message): void {
    this.emit('message', message);
    const dropped = this.list!.dropExcess();
    if (dropped.length > 0) this.emit('dropped', dropped);
    this.emitUpdate();
  }

  protected handleChanged = (message: Message): void => {
    this.emit('changed', message);
    this.emitUpdate();
  };
}
