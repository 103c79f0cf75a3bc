import { ChatClientError } from './client-error.ts';
import type { RoomConnection } from './connection.ts';
import type { Timeline } from './timeline.ts';
import type { Message } from './wire.ts';

/** History before what is known, a page at a time: who asks while one is on its way gets that one. */
export class OlderPages {
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  #pending: Promise<readonly Message[]> | undefined;

  constructor(connection: RoomConnection, ref: number | string) {
    this.#connection = connection;
    this.#ref = ref;
  }

  load(limit: number, getTimeline: () => Timeline): Promise<readonly Message[]> {
    this.#pending ??= this.#load(limit, getTimeline).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #load(limit: number, getTimeline: () => Timeline): Promise<readonly Message[]> {
    const timeline = getTimeline();
    if (!timeline.hasOlder) return [];
    const { link } = this.#connection;
    if (!link) throw new ChatClientError('UNREACHABLE', 'There is no connection');
    if (timeline.isFull) throw new ChatClientError('LIMIT', 'As many messages are loaded as the client keeps');
    const page = { room_id: this.#ref, before: timeline.startLoading(), limit };
    return new Promise<readonly Message[]>((resolve, reject) => {
      link.request('message:history', page, (error, ack) => {
        if (error) return reject(error);
        // Of a timeline that is no more: what is shown now begins elsewhere.
        if (timeline !== getTimeline()) return resolve([]);
        timeline.prepend(ack);
        resolve(ack.messages);
      });
    }).finally(() => timeline.finishLoading());
  }
}
