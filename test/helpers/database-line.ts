import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { closeLater } from './cleanup.ts';

/** A line to a server that can be cut: what a network, or a database that dies, does to its clients. */
export interface DatabaseLine {
  port: number;
  /** Ends every connection and refuses new ones. */
  cut(): void;
  restore(): void;
  /** Keeps every connection, takes new ones, and carries nothing. */
  freeze(): void;
  /** The connections of now stay open and carry nothing any more; new ones work. */
  swallow(): void;
  /** What clients say waits, until it is `restore`d; what they are told does not. */
  hold(): void;
  /** The next thing a client says is the last that gets through: its answer is lost, with the connection. */
  loseNextAnswer(): void;
  /** Connections from now on lead to another port. */
  leadTo(port: number): void;
}

export async function databaseLine(host: string, port: number): Promise<DatabaseLine> {
  const open = new Set<Socket>();
  let isCut = false;
  let isFrozen = false;
  let losing = false;
  let target = port;
  let generation = 0;
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    clients.add(client.on('close', () => clients.delete(client)));
    const upstream = dial(target, host);
    const born = generation;
    let answerIsLost = false;
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
    client.on('data', (said) => {
      if (isFrozen || born !== generation) return;
      if (losing) {
        losing = false;
        answerIsLost = true;
      }
      upstream.write(said);
    });
    upstream.on('data', (answer) => {
      if (isFrozen || born !== generation) return;
      if (!answerIsLost) return void client.write(answer);
      client.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endAll = () => {
    for (const socket of open) socket.destroy();
  };
  closeLater(() => {
    server.close();
    endAll();
  });
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true;
      endAll();
    },
    restore() {
      isCut = false;
      for (const client of clients) client.resume();
    },
    swallow() {
      generation += 1;
    },
    hold() {
      for (const client of clients) client.pause();
    },
    freeze() {
      isFrozen = true;
    },
    loseNextAnswer() {
      losing = true;
    },
    leadTo(other) {
      target = other;
    },
  };
}
