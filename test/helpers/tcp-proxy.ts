import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { closeLater } from './cleanup.ts';

/** A connection to a server that a test can disturb, like a failing network or a database that crashes. */
export interface TcpProxy {
  port: number;
  /** The first line that each connection has sent. */
  requestLines: string[];
  /** Ends every connection and refuses new ones. */
  cut(): void;
  restore(): void;
  /** Keeps every connection and accepts new ones, but forwards nothing. */
  freeze(): void;
  /** Open connections remain open but no longer carry data; new connections work. */
  dropTrafficOfOpenConnections(): void;
  /** Holds back data from clients until `restore`, also on new connections. Data to clients is forwarded. */
  holdRequests(): void;
  /** Holds back data to clients until `restore`, also on new connections. Data from clients is forwarded. */
  holdResponses(): void;
  /** Forwards the next data from a client, then cuts its connection, so that the response is lost. */
  loseNextResponse(): void;
  /** New connections are forwarded to another port. */
  redirectTo(port: number): void;
}

export async function tcpProxy(host: string, port: number): Promise<TcpProxy> {
  const open = new Set<Socket>();
  let isCut = false;
  let isFrozen = false;
  let losesNextResponse = false;
  let target = port;
  let generation = 0;
  const held = { client: false, upstream: false };
  const sides = { client: new Set<Socket>(), upstream: new Set<Socket>() };
  const requestLines: string[] = [];
  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    const upstream = dial(target, host);
    sides.client.add(client.on('close', () => sides.client.delete(client)));
    sides.upstream.add(upstream.on('close', () => sides.upstream.delete(upstream)));
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
        // What it has sent before is still forwarded.
        other.destroySoon();
      });
    }
    client.once('data', (data) => requestLines.push(String(data).split('\r\n', 1)[0]!));
    client.on('data', (data) => {
      if (isFrozen || born !== generation) return;
      if (losesNextResponse) {
        losesNextResponse = false;
        answerIsLost = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (answer) => {
      if (isFrozen || born !== generation) return;
      if (!answerIsLost) return void client.write(answer);
      client.destroy();
    });
    if (held.client) client.pause();
    if (held.upstream) upstream.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endAll = () => {
    for (const socket of open) socket.destroy();
  };
  const hold = (side: keyof typeof sides) => {
    held[side] = true;
    for (const socket of sides[side]) socket.pause();
  };
  closeLater(() => {
    server.close();
    endAll();
  });
  return {
    port: (server.address() as AddressInfo).port,
    requestLines,
    cut() {
      isCut = true;
      endAll();
    },
    restore() {
      isCut = held.client = held.upstream = false;
      for (const side of Object.values(sides)) for (const socket of side) socket.resume();
    },
    dropTrafficOfOpenConnections() {
      generation += 1;
    },
    holdRequests: () => hold('client'),
    holdResponses: () => hold('upstream'),
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
  /** The URL of the node through the proxy. */
  url: string;
}

export async function nodeProxy(url: string): Promise<NodeProxy> {
  const proxy = await tcpProxy('127.0.0.1', Number(new URL(url).port));
  return { ...proxy, url: `http://127.0.0.1:${proxy.port}` };
}
