import type { Room } from './room.ts';
import type { Records, StorageOp } from './storage-records.ts';
import { deleteOutbox, listOutboxes, readOutbox, restoreMessage } from './stored-outbox.ts';
import type { Tabs } from './tabs.ts';

/** The client of this tab. */
interface TakeoverClient {
  room(ref: number | string): Room;
  write(...ops: StorageOp[]): void;
}

/**
 * Takes over what tabs that have ended could not send. Two tabs may do this at the same time: both then send the messages
 * under the same ids, and the service stores them once.
 */
export class Takeover {
  readonly #records: Records;
  readonly #tabs: Tabs;
  readonly #client: TakeoverClient;
  /** The tabs whose messages are here, but still in their stored outboxes too. */
  readonly #inherited = new Set<string>();

  constructor(records: Records, tabs: Tabs, client: TakeoverClient) {
    this.#records = records;
    this.#tabs = tabs;
    this.#client = client;
  }

  /** Returns the tabs that have ended and left messages. */
  async findDead(): Promise<string[]> {
    const tabs = listOutboxes(this.#records).filter((tab) => !this.#inherited.has(tab));
    return tabs.length > 0 ? this.#tabs.findDead(tabs, this.#records.list('tab/')) : [];
  }

  /** Adds the messages of these tabs to the outboxes of their rooms, and returns the rooms. */
  inherit(dead: readonly string[]): Set<Room> {
    const rooms = new Set<Room>();
    for (const tab of dead) {
      this.#inherited.add(tab);
      for (const saved of readOutbox(this.#records, tab)) {
        const room = this.#client.room(saved.ref);
        restoreMessage(room, saved);
        rooms.add(room);
      }
      this.#client.write(deleteOutbox(tab), { delete: `tab/${tab}` });
    }
    return rooms;
  }

  /** Call this when the storage has the messages under this tab, and no longer under the ended tabs. */
  complete(): void {
    this.#inherited.clear();
  }

  /** Writes a heartbeat if other tabs need it to know that this one will send its messages. */
  beat(): void {
    const { id, needsHeartbeat } = this.#tabs;
    if (needsHeartbeat && listOutboxes(this.#records).includes(id))
      this.#client.write({ put: { key: `tab/${id}`, version: Date.now(), value: JSON.stringify(id) } });
  }
}
