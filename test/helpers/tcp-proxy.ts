import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { closeLater } from './cleanup.ts';

/** A line to a server that can be cut: what a network, or a database that dies, does to its clients. */
export interface TcpProxy {
  port: number;
  /** Ends every connection and refuses new ones. */
  cut(): void;
  restore(): void;
  /** Keeps every connection, takes new ones, and carries nothing. */
  freeze(): void;
  /** The connections of now stay open and carry nothing any more; new ones work. */
  dropTrafficOfOpenConnections(): void;
  /** What clients say waits, until it is `restore`d; what they are told does not. */
  holdRequests(): void;
  /** The next thing a client says is the last that gets through: its answer is lost, with the connection. */
  loseNextResponse(): void;
  /** Connections from now on lead to another port. */
  redirectTo(port: number): void;
}

export async function tcpProxy(host: string, port: number): Promise<TcpProxy> {
  const open = new Set<Socket>();
  let isCut = false;
  let isFrozen = false;
  let losesNextResponse = false;
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
      if (losesNextResponse) {
        losesNextResponse = false;
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
    dropTrafficOfOpenConnections() {
      generation += 1;
    },
    holdRequests() {
      for (const client of clients) client.pause();
    },
    freeze() {
      isFrozen = true;
    },
    loseNextResponse() {
      losesNextResponse = true;
    },
    redirectTo(other) {
      target = other;
    },
  };
}

export interface NodeProxy extends TcpProxy {
  /** The node as a client sees it through the proxy. */
  url: string;
}

export async function nodeProxy(url: string): Promise<NodeProxy> {
  const proxy = await tcpProxy('127.0.0.1', Number(new URL(url).port));
  return { ...proxy, url: `http://127.0.0.1:${proxy.port}` };
}
