import { io, type Socket } from 'socket.io-client';
import type { TestUser } from '../../test/helpers/users.ts';

/** Connections that send messages to many rooms. The content of a message is the time at which it was sent. */
export class Senders {
  readonly #sockets: Socket[];
  readonly #rooms: readonly number[];
  #next = 0;
  sent = 0;
  failed = 0;

  private constructor(sockets: Socket[], rooms: readonly number[]) {
    this.#sockets = sockets;
    this.#rooms = rooms;
  }

  static async connect(url: string, { token }: TestUser, rooms: readonly number[], connections = 16): Promise<Senders> {
    const sockets = Array.from({ length: connections }, () =>
      io(`${url}/rooms`, { auth: { token }, forceNew: true, transports: ['websocket'] }),
    );
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.once('connect', resolve))));
    return new Senders(sockets, rooms);
  }

  async send(): Promise<void> {
    const n = this.#next++;
    const socket = this.#sockets[n % this.#sockets.length]!;
    const message = { room_id: this.#rooms[n % this.#rooms.length]!, content: String(performance.now()) };
    const ack = (await socket
      .timeout(10_000)
      .emitWithAck('message:send', message)
      .catch(() => undefined)) as { ok: boolean } | undefined;
    if (ack?.ok) this.sent += 1;
    else this.failed += 1;
  }

  /** Sends at a steady rate, whatever the answers take. */
  async sendAtRate(perSecond: number, seconds: number): Promise<void> {
    const begunAt = performance.now();
    const pending: Promise<void>[] = [];
    for (let n = 0; n < perSecond * seconds; n++) {
      const waitMs = begunAt + (n * 1_000) / perSecond - performance.now();
      if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
      pending.push(this.send());
      if (pending.length > 5_000) await Promise.all(pending.splice(0));
    }
    await Promise.all(pending);
  }

  /** Sends as fast as the answers arrive, with so many messages at once. Returns messages per second. */
  async sendFor(seconds: number, atOnce = 64): Promise<number> {
    const before = this.sent;
    const begunAt = performance.now();
    const loop = async () => {
      while (performance.now() - begunAt < seconds * 1_000) await this.send();
    };
    await Promise.all(Array.from({ length: atOnce }, loop));
    return (this.sent - before) / ((performance.now() - begunAt) / 1_000);
  }

  close(): void {
    for (const socket of this.#sockets) socket.disconnect();
  }
}
