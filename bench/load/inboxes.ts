import { Histogram } from '../statistics.ts';
import { nowUs } from './clock.ts';
import { dial, refusing } from './connection.ts';
import { deliveryIn } from './content.ts';
import { type Entries, timed } from './crowd.ts';

interface InboxConnection {
  /** Opens the inbox, or opens it again. */
  open(): Promise<void>;
}

export interface InboxReport {
  items: number;
  /** The time from the sending of an item's last message to the item's arrival, as percentiles in ms. */
  lagMs: { p50: number; p99: number };
  failures: string[];
}

/** Connections of different users that open their inboxes on Socket.IO. */
export class Inboxes {
  readonly #connections: InboxConnection[] = [];
  readonly #failures: string[] = [];
  #lag = new Histogram();

  /** Connects and authenticates, but opens no inbox. */
  connect(url: string, tokens: readonly string[], atOnce: number): Promise<Entries> {
    return timed(tokens, atOnce, async (token) => {
      this.#connections.push(await this.#connect(url, token));
    });
  }

  /** Opens the inboxes of all connections, or of the `last` that were connected. */
  open(atOnce: number, last = this.#connections.length): Promise<Entries> {
    return timed(this.#connections.slice(-last), atOnce, (connection) => connection.open());
  }

  /** Reports what has arrived since the previous report. */
  report(): InboxReport {
    const lag = this.#lag;
    this.#lag = new Histogram();
    return { items: lag.count, lagMs: { p50: lag.at(0.5), p99: lag.at(0.99) }, failures: this.#failures };
  }

  #connect(url: string, token: string): Promise<InboxConnection> {
    return new Promise((resolve, reject) => {
      const failed = (why: string) => void this.#failures.push(why);
      let requests = 0;
      let settle = (_frame: string) => {};
      const connection: InboxConnection = {
        open: () =>
          new Promise((resolve, reject) => {
            settle = (frame) => (frame.includes('"ok":true') ? resolve() : reject(new Error(frame)));
            requests += 1;
            socket.send(`42/rooms,${requests}["inbox:open",{"limit":50}]`);
          }),
      };
      const path = '/socket.io/?EIO=4&transport=websocket';
      const socket = dial(
        url + path,
        refusing({ delivered: () => {}, confirmed: () => {}, failed }, reject),
        (frame) => {
          if (frame.startsWith('42/rooms,["inbox:changed"')) this.#addItems(frame);
          else if (frame.startsWith('43/rooms,')) settle(frame);
          else if (frame === '2') socket.send('3');
          else if (frame.startsWith('0')) socket.send(`40/rooms,{"token":${JSON.stringify(token)}}`);
          else if (frame.startsWith('40/rooms,')) resolve(connection);
        },
      );
    });
  }

  #addItems(frame: string): void {
    const now = nowUs();
    for (const item of frame.split('"last_message":').slice(1)) {
      const delivery = deliveryIn(item);
      if (delivery && Number.isFinite(delivery.us)) this.#lag.add(now - delivery.us);
    }
  }
}
