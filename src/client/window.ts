import type { ClientWindow, WindowSnapshot } from './api.ts';
import { LoadedView, type ViewRoom } from './loaded-view.ts';
import type { MessageList } from './message-list.ts';
import type { RoomConnection } from './room-connection.ts';

/** A part of the history of a room. */
export class Window extends LoadedView<WindowSnapshot> implements ClientWindow {
  readonly #seq: number;

  constructor(connection: RoomConnection, room: ViewRoom, seq: number) {
    super(connection, room);
    this.#seq = seq;
  }

  /** After a reset, the window is where it was before. */
  protected createList(): MessageList {
    const { messages } = this;
    const isAtTail = messages.length > 0 && !this.hasNewer;
    const around = messages[Math.floor(messages.length / 2)]?.seq ?? this.#seq;
    return this.room.createList(this.handleChanged, isAtTail ? {} : { around });
  }

  protected createSnapshot(): WindowSnapshot {
    const { messages, hasOlder, hasNewer, error } = this;
    return { messages, hasOlder, hasNewer, error };
  }
}
