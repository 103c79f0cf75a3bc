import { ChatClientError } from './client-error.ts';
import type { Connected } from './connection.ts';
import type { Timeline } from './timeline.ts';
import type { Message } from './wire.ts';

/** History before what is known, a page at a time: who asks while one is on its way gets that one. */
export class OlderPages {
  readonly #connection: Connected;
  readonly #ref: number | string;
  #underWay: Promise<readonly Message[]> | undefined;

  constructor(connection: Connected, ref: number | string) {
    this.#connection = connection;
    this.#ref = ref;
  }

  load(limit: number, current: () => Timeline): Promise<readonly Message[]> {
    this.#underWay ??= this.#load(limit, current).finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  async #load(limit: number, current: () => Timeline): Promise<readonly Message[]> {
    const timeline = current();
    if (!timeline.hasOlder) return [];
    const { line } = this.#connection;
    if (!line) throw new ChatClientError('UNREACHABLE', 'There is no connection');
    if (timeline.isFull) throw new ChatClientError('LIMIT', 'As many messages are loaded as the client keeps');
    const page = { room_id: this.#ref, before: timeline.load(), limit };
    return new Promise<readonly Message[]>((resolve, reject) => {
      line.ask('message:history', page, (error, ack) => {
        if (error) return reject(error);
        // Of a timeline that is no more: what is shown now begins elsewhere.
        if (timeline !== current()) return resolve([]);
        timeline.prepend(ack);
        resolve(ack.messages);
      });
    }).finally(() => timeline.loaded());
  }
}
